"""Faults of machines: a cluster of processes on one machine, whose parts are killed, stopped and wiped at random.

* ``parts``     PostgreSQL, NATS servers, relays and nodes, and what can happen to each
* ``schedule``  faults at random, by seed
* ``load``      clients and writers, and the check of all that the clients have received
* ``cluster``   a run, and its command: ``python -m tests.faults.cluster --minutes 10``
* ``test_cluster_faults``  a short run
"""
