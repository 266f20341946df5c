"""The self-contained report page: its frame, looks and scripts, and the data written between them."""
