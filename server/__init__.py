"""The server over ``engine``.

A ``protocol`` message enters a ``session``, whose actions a ``client`` carries out over one of the ``transports``.

* ``auth`` identifies the client (``auth_handler``: by a function or a webhook of the operator) and asks the rules of
  channels (``rules``); ``limits`` counts what it asks for; ``content`` judges what it publishes;
* ``wire`` encodes messages, ``http`` is shared by all HTTP routes, ``rest`` is the API for servers;
* ``observe`` counts what connections do and shows it, ``statistics`` writes figures for the views ``realtime.stat_*``,
  ``analytics`` counts for ``realtime.analytics_*``, ``alerts`` measures what raises alerts and sends them,
  ``balance`` moves clients to nodes that have fewer, ``tracing`` records traces, ``logs`` formats the log;
* ``ports`` holds the interfaces of the engine;
* ``workers`` are several nodes on one port, each a process, and their supervisor; ``cluster`` is the relay of several
  machines;
* ``app`` runs it all, ``bench`` loads a server and measures it, ``cli`` is the ``realtime`` command, ``demo`` the page of
  ``realtime dev``, ``manual`` its documentation, ``dashboard`` the page of operators, ``browser_sdk`` serves the SDK to
  pages.
"""
