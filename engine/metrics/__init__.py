"""Metrics: instruments that cost an addition where the work is done, and one registry that reads them when it is asked.

``instruments`` are the counters, gauges and histograms, plain objects; ``registry`` names them, and gives their values to
Prometheus' exposition and to other parts of this process. The other modules are the metrics of one part of the engine each,
made once per registry and passed to that part: there are no globals, so several nodes can live in one process.
"""
