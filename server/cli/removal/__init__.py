"""``realtime uninstall``: remove everything that the service made in a database, and restore what it changed."""
