"""One client, on any transport: carries out the actions of its session."""
