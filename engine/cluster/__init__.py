"""One replication slot for several machines: the leading relay publishes its events to NATS JetStream for all nodes.

NATS is a cache of the WAL and never the truth. ``publisher.py`` is the end that writes the stream, in front of which
``published_feed.py`` stands between the feed of the slot and its consumers; ``election.py`` decides which of several relays
leads. ``feed.py`` is the node's end, a change feed like :class:`engine.feed.feed.Feed`. ``messages.py`` has what travels,
``nats_stream.py`` the stream itself and ``consumer.py`` its consumers, ``place.py`` where a node goes on in it, and
``mirror.py`` its copy in another region.

A node takes the transactions of the tables that its live queries look at: ``topics.py`` has the subjects and the proof that
none of them is missing, ``selection.py`` the session of such a node, as tables come and go.
"""
