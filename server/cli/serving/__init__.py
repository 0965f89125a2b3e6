"""Serving by one process or by several: as ``realtime serve`` and ``realtime dev`` do it."""
