"""From a client's message to its acknowledgement: queue, batch, commit, outcome."""
