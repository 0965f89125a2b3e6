"""The server over ``engine``.

A ``protocol`` message enters a ``session``, whose actions a ``client`` carries out over one of the ``transports``; ``auth``
identifies the client (``auth_handler``: by a function or a webhook of the operator), ``wire`` encodes its messages. ``rest``
is the API for servers, ``observe`` counts what connections do and shows it, ``ports`` holds the interfaces of the
engine. ``app`` runs it all; ``cli`` is the ``realtime`` command.
"""
