"""Analytics: what a node counts of its clients in memory, and adds to the database once a minute.

The views ``realtime.analytics_*`` show it. ``counter`` counts, by ``minute``, with ``users``, ``distinct``, ``frequent``
and ``countries``; ``writer`` writes; ``service`` joins them to a node.

Nothing here keeps what one user did. Users are counted as different ones by hashes whose salt is dropped after the day.
"""
