"""The change feed brings what PostgreSQL commits, the same through every decoder."""
