"""The live-query engine: row changes in, exact result windows and channel events out.

Folders, in the order in which they may import one another (an import-linter contract says so):

* ``postgres``  connections, pools, sessions, snapshots, named queries, what the database's errors mean;
* ``values``    per type: equality, order and JSON form exactly as PostgreSQL has them;
* ``catalog``   what the database says about the exposed tables, kept in step with the stream;
* ``feed``      the replication stream, decoded into ordered ``Transaction`` objects;
* ``stream``    the driver that gives each transaction to its consumers, and the tail of recent transactions;
* ``query``     builder JSON or SQL → a compiled plan;
* ``live``      the results of queries: matcher, windows, differences;
* ``channels``  messages, rooms and presence: rows of the schema ``realtime``; ``live`` and ``channels`` do not import each
  other.

``errors``, ``lsn`` and ``transaction`` are the words all of them are written in. A folder named ``core`` has no I/O,
no clock and no task. Nothing here knows about HTTP, WebSocket or sessions: ``server`` imports ``engine``, never the
other way.
"""
