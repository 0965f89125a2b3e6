"""What one client, user or address may ask of the server, and how that is counted.

Here is counted; what exceeds a limit is refused where it arrives:

* messages of a connection (``token_bucket``): ``server/session/message_reader.py``;
* connections of a user and an address, and how many of them are new (``connection_limiter``): ``server/app/node.py``;
* REST requests and messages by REST of an address (``network_rates``): ``server/rest/app.py``, ``server/rest/clients.py``;
* bytes of messages of a user (``published_bytes``): ``server/client/judgement.py``;
* live queries (``query_accounts``): ``engine/live/query_accounts.py``;
* the time that reading takes (``reading_shares``): the WebSocket transport, which stops reading, also until it is the turn
  of an address of which much was read (:mod:`engine.work_turns`);
* channels that all connections open at once (``joins``): ``server/client/channel_subscriptions.py``, where the others wait.

Counted where it is refused: changes of presence and subscriptions of a connection (``server/session/session.py``), renewals
of its token (``server/client/renewal.py``), positions that it waits for (``server/client/answers.py``), batches of a polling
client (``server/transports/base/inbox.py``), and spam (``server/content/spam.py``).
"""
