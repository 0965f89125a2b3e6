"""The oracle test: random tables, queries and histories on a real Postgres; the answer is what Postgres itself reports.

* ``histories``    what happens to the tables, and when the answers are compared;
* ``test_oracle``  plays them over the random tables and queries of ``tests/support/oracle``;
* ``policies``     the same under row-level security, played by ``test_random_policies``.

The database, the feed, the service and the clients of both are ``tests/support/nodes/arena.py``.
"""
