"""The example applications in a real browser."""
