"""Live queries and channels in the process of the test, over a real database."""
