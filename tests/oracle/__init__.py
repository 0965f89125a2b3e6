"""The oracle test: random tables, queries and histories on a real Postgres; the answer is what Postgres itself reports.

* ``schemas``   random tables over every kind of column;
* ``queries``   random queries, each as a client would ask it and, written independently, as SQL that gives the truth;
* ``arena``     a database, a feed, the live-query service, clients that know only what they received;
* ``test_oracle``  the histories;
* ``policies``  the same under row-level security, played by ``test_random_policies``.
"""
