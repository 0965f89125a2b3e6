"""Benchmarks of several machines: what nodes, relay and NATS cost, and what a region is away."""
