"""Clients of a server, over each transport, with and without a library."""
