"""A handler of the operator that judges tokens: a function (``function``) or a webhook (``webhook``), and what protects the
server from its failures (``verifier``).
"""
