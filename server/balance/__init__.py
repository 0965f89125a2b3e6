"""How full each node is, and clients that are asked to move to other nodes."""
