"""``realtime bench``: load for a server, and what it took to bear it."""
