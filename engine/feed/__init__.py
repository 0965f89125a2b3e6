"""Where the rows come from: the replication stream, decoded into transactions."""
