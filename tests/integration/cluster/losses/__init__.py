"""What nodes do about events that the stream in NATS has lost."""
