"""Where the rows come from: the replication stream, decoded into transactions.

* ``feed``          the driver and its public face: ``Feed``, ``FeedSettings``, ``FeedState``;
* ``opening``, ``session``, ``replication``  one streaming session: made ready, pumped, and its frames;
* ``decoder``, ``pgoutput``, ``wal2json``, ``wal2json_rows``, ``changes``  bytes into transactions, without I/O;
* ``buffer``, ``positions``  what waits for the consumer, and what the slot may forget;
* ``slots``, ``nodes``, ``relations``, ``problems``  what is asked of the database, and what it refuses, in plain words.
"""
