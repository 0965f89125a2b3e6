"""A page over TLS, and the certificates that browsers refuse."""
