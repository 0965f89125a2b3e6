"""What several benchmarks share: clients, a reference server, processes, reports."""
