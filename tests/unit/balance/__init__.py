"""The rule by which clients are moved between nodes."""
