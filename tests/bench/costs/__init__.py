"""Benchmarks of what observing costs."""
