"""The live-query engine: row changes in, exact result windows out.

Folders, from the plain to the driven:

* ``types``, ``errors``, ``lsn``   the words everything else is written in;
* ``feed``     replication stream → ordered ``Transaction`` objects (two decoders, one driver);
* ``catalog``  what the database says about the exposed tables;
* ``query``    builder JSON or SQL → a compiled query (predicate, order, SQL text, document encoding);
* ``live``     transaction tail, matcher, windows, differences, and the service that joins them.

Nothing here knows about HTTP, WebSocket or sessions: ``server`` imports ``engine``, never the other way.
"""
