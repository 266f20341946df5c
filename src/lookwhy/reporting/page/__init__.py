"""The self-contained report page: its frame, styles and scripts, and the data written into it."""
