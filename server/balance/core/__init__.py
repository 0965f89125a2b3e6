"""The rule by which a node asks clients to move. No I/O, no clock."""
