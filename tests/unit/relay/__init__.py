"""The relay and its workers, without a database."""
