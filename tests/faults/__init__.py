"""Faults of machines: a cluster of processes on one machine, whose parts are killed, stopped and wiped at random.

* ``parts``     relays and nodes; ``nats_servers``; ``databases``: PostgreSQL; ``links``: the network between them, in
  proxies or ``namespaces``
* ``schedule``  faults at random, by seed: ``process_faults``, ``postgres_faults``, ``network_faults``
* ``load``      clients and writers, and the check of all that the clients have received (``histories``); ``spanning_load``:
  transactions that span channels, clients that come and go, users that are removed; ``observed``: all that is no stored
  message
* ``cluster``   a run, and its command: ``python -m tests.faults.cluster --minutes 10``
* ``test_cluster_faults``  a short run
"""
