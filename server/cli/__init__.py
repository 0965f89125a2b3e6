"""The ``realtime`` command: its commands, and a PostgreSQL for development."""
