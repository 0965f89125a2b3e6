"""Channels, rooms and presence: rows of the ``realtime`` schema that come back through the feed.

Plain state without I/O: ``records`` (what a transaction means), ``events`` (what subscribers are told), ``filter`` and
``audience`` (who is told), ``router``, ``presence``, ``ledger``. I/O: ``publisher``, ``recorder``, ``replay``,
``handover``, ``connections``, ``maintenance``, over ``store``; ``service`` joins them.
"""
