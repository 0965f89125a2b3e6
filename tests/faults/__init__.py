"""Faults of machines: a cluster of processes (``tests.cluster``) whose parts are killed, stopped and wiped at random.

* ``schedule``  faults at random, by seed: ``process_faults``, ``postgres_faults``, ``network_faults``
* ``load``      clients and writers, and the check of all that the clients have received (``histories``); ``spanning_load``:
  transactions that span channels, clients that come and go, users that are removed; ``observed``: all that is no stored
  message
* ``cluster``   a run, and its command: ``python -m tests.faults.cluster --minutes 10``
* ``test_cluster_faults``  a short run
"""
