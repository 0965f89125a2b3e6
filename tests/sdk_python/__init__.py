"""The Python SDK: its core on its own, and the whole against a real server."""
