"""The two decoders, without I/O: messages of ``pgoutput`` or ``wal2json`` into ``Transaction`` objects."""
