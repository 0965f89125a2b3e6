"""Between feed and consumers: recent transactions, those still in flight, and the interfaces of both ends."""
