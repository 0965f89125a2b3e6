"""Windows kept current, without I/O: matcher, dispatcher, windows, differences."""
