"""Encoding, once for all subscribers of a form: frames, blocks of events, and the send queue."""
