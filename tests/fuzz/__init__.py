"""Hostile input against a real server: nothing a client can send may look like the server's own failure."""
