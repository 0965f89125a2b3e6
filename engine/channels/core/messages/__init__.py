"""Messages, members and rows of the schema ``realtime`` as values: what clients send, and what the stream brings."""
