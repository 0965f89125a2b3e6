"""A handler of the operator that judges tokens: a function or a webhook, and what protects the server from its failures."""
