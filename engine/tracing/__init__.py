"""Traces as messages carry them, without a tracing library and without I/O.

``context`` reads and writes W3C trace contexts; ``messages`` is the trace of one published message. What passes through this
node is noted by :mod:`engine.metrics.deliveries`, and spans are made of it in ``server.tracing``.
"""
