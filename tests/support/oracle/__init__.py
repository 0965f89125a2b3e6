"""Random tables and queries, each with independently written SQL for its true answer."""
