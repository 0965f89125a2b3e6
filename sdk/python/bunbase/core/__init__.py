"""What the client knows and decides, as plain objects: no sockets, no tasks, no clock of their own."""
