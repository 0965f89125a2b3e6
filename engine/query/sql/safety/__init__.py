"""Whether a client's SQL is safe to run: PostgreSQL analyses it without running it, ``check`` judges the answers."""
