"""The figures that the project aims at, in one run: ``python -m tests.bench.aims.bench_aims``."""
