"""``realtime relay``: a process that takes part in the election of a slot's relay, and publishes to NATS while it leads.

``relay_service.py`` is its life, ``relay_term.py`` one term of leading, ``relay_http.py`` its health and metrics.
"""
