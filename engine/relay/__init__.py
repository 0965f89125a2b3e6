"""One replication slot for several processes of a machine: a relay reads it and sends its events to the workers.

``relay.py`` is the end that reads the slot, ``feed.py`` the worker's end, a change feed like
:class:`engine.feed.feed.Feed`. In between are messages (``messages.py``) over a Unix socket. ``backlog.py`` holds what some
worker has not been sent yet, ``link.py`` is one worker as the relay sees it.
"""
