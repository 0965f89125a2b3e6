"""PostgreSQL in a container, and what its WAL holds."""
