"""Encoding, once for all subscribers of a form: messages to frames (``encoder``, ``sse_blocks``), and the send queue.

The transports write the frames: ``server/transports/base/client_connection.py`` queues them, the connection of each
transport writes them.
"""
