"""Encoded once for all subscribers of a form: frames, blocks of events, and the queue of what waits to be sent."""
