"""``realtime doctor``: whether a database is ready, and a remedy for each thing that is not."""
