"""What tests run as a process of its own that is no server."""
