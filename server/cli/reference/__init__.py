"""What the command explains: error codes, settings with their sources."""
