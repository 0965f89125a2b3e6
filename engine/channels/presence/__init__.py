"""Connections and members as rows: written, followed, and removed after their presence timeout
(``sweeper``)."""
