"""Channels when the database or a connection fails."""
