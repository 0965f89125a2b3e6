"""The server seen from outside: what its connections count, ``GET /metrics``, health."""
