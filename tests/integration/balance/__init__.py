"""Clients that are moved between running nodes."""
