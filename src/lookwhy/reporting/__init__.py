"""Reports: show an analysis as figures, tables, W&B logs and pages; they compute no result themselves."""
