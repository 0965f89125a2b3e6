"""Channels, rooms and presence: rows of the schema ``realtime`` that come back through the stream.

* ``core``      plain state without I/O: what a transaction means, and what subscribers receive;
* ``db``        statements over the pool, and small writes that share commits;
* ``publish`` stores the messages of clients, ``history`` replays stored ones, ``presence`` keeps connections and members;
* ``service``   joins them.
"""
