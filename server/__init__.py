"""The server over ``engine``.

A ``protocol`` message enters a ``session``, whose actions a ``client`` carries out over one of the ``transports``; ``auth``
says who it is, ``wire`` encodes what it receives. ``rest`` is the API for servers, ``ports`` what this package needs of the
engine. ``app`` runs it all; ``cli`` is the ``realtime`` command.
"""
