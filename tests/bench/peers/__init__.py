"""This server beside what its users could take instead, with the clients and the clock of ``realtime bench``.

``make bench-peers`` installs the peers (``install``) and runs :mod:`tests.bench.peers.run`.
"""
