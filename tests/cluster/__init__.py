"""A cluster of processes on one machine, for those tests and benchmarks that do something to it.

* ``parts``         relays and nodes
* ``nats_servers``, ``databases``  what they use
* ``links``         the network between them, in proxies or ``namespaces``
* ``time_limit``    seconds that something may take
"""
