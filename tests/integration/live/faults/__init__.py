"""Live queries when the database, a connection or a subscriber fails."""
