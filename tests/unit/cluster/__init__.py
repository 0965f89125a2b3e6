"""What travels through NATS, and where a node goes on in it, without NATS."""
