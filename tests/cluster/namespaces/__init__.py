"""The parts of a cluster in network namespaces, with a switch between them that loses, delays and refuses packets.

What ``tc netem`` does, for kernels that have been built without it. Needs root on Linux, and ``/dev/net/tun``.

* ``switch``    the process that has a TUN device in each namespace
* ``packets``   the addresses of a packet, and the answer that ends its connection
* ``namespaces``  ``Links`` that are made of it
* ``reachable``  a PostgreSQL for them
"""
