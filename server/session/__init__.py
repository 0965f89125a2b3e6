"""One connection's protocol as a state machine without I/O: messages in, actions out."""
