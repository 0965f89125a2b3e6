"""The live-query engine: row changes in, exact result windows and channel events out.

Folders, in the order in which they may import one another (an import-linter contract checks it):

* ``tracing``   W3C trace contexts, and the trace of one message;
* ``metrics``   what the parts count, and the registry that reads it when it is asked;
* ``postgres``  connections, pools, named queries, snapshots, the meaning of the database's errors;
* ``values``    per type: equality, order and JSON form exactly as PostgreSQL has them;
* ``identity``  the principal of a connection and its visibility: which rows it may see;
* ``catalog``   the definitions of the exposed tables, kept in step with the stream;
* ``feed``      the replication stream, decoded into ordered ``Transaction`` objects;
* ``relay``     one replication slot for several processes of a machine: the relay that reads it, and the workers' feed;
* ``cluster``   one replication slot for several machines: the relay that publishes it to NATS, and the nodes' feed;
* ``stream``    the driver that delivers each transaction to its consumers, and the tail of recent transactions;
* ``query``     builder JSON or SQL → a compiled plan;
* ``live``      the results of queries: matcher, windows, differences;
* ``channels``  messages, rooms and presence: rows of the schema ``realtime``; ``live`` and ``channels`` do not import each
  other.

The modules at the top are shared by all folders: the types ``errors``, ``lsn`` and ``transaction``, and the tools ``tasks``,
``background``, ``fair_cache`` and ``time_budget``. A folder imports its own subfolders, and a subfolder no module of the
folders around it.
A folder named ``core`` has no I/O, no clock and no task. The engine does not depend on HTTP, WebSocket or sessions:
``server`` imports ``engine``, never the reverse.
"""
