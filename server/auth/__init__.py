"""Authentication and authorization of connections.

``authenticator`` gives a connection its principal: ``tokens`` checks a JSON Web Token with the keys of ``issuers``
(``keysets``, ``jwk``), ``api_keys`` and ``sessions`` what the database knows. ``authorizer`` is asked before each action.
"""
