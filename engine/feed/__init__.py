"""Where the rows come from: the replication stream, decoded into transactions.

* ``feed``          the driver and its public face: ``Feed``, ``FeedSettings``, ``FeedState``;
* ``startup``, ``session``, ``replication_stream``  one streaming session: made ready, pumped, and its frames;
* ``decoders``      bytes into transactions, without I/O;
* ``buffer``, ``positions``, ``obstacle``  what waits for the consumer, what the slot may forget, what stands in the way;
* ``slots``, ``leases``, ``table_lookup``, ``diagnostics``  what is asked of the database, and what it refuses, in
  plain words.
"""
