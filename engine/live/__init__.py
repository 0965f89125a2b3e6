"""The results of live queries: planned, read, kept current, and shared by their subscribers. ``core`` is without I/O."""
