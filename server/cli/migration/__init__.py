"""``realtime migrate``, and the migration state of a database."""
