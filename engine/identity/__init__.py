"""Who reads: the principal of a connection, and which rows it may see."""
