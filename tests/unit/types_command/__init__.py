"""``realtime types`` without a database."""
