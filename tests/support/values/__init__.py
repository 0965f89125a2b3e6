"""Values and queries of every type, all of them or at random."""
