"""Content policies: what clients may publish, by channel and event (rows of ``realtime.content_policies``).

Data of a client passes :class:`server.content.inspector.ContentInspector` once, whatever its transport: after the client's
right to publish was checked, and before the data is stored. What SQL and servers (by REST) publish is trusted.
"""
