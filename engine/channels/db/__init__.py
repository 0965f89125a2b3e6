"""The database behind channels: statements, write batches, a watch over the tables."""
