"""One connection, the one that is kept, and the subscriptions on it."""
