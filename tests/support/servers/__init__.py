"""Servers as processes of their own, or as an application without a port."""
