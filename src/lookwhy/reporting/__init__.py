"""Reports: reads an analysis and shows it as figures, tables, W&B logs and pages; computes nothing itself."""
