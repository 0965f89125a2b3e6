"""Server-sent events: the stream, its ids, and where each of its channels is."""
