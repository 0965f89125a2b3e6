"""The source of row changes: the replication stream, decoded into transactions.

* ``feed``          the driver and its public interface: ``Feed``, ``FeedSettings``, ``FeedState``;
* ``startup``, ``streaming_session``, ``replication_stream``  one streaming session: its start, its tasks, and its frames;
* ``decoders``      bytes into transactions, without I/O;
* ``buffer``, ``positions``, ``obstacle``  events that wait for the consumer; positions, also the one to which the slot is
  confirmed; undecodable WAL;
* ``slots``, ``leases``, ``table_lookup``, ``diagnostics``  queries and commands to the database, and explanations of its
  errors.
"""
