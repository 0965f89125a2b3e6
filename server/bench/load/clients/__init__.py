"""One client by each transport, and what clients count."""
