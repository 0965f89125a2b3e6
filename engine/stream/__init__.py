"""Between feed and consumers: the driver, recent transactions, those still in flight, and the interfaces of both ends."""
