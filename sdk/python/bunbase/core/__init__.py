"""The client's state and decisions as plain objects: no sockets, no tasks, no clock of their own."""
