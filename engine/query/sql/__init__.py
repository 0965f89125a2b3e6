"""Clients' SQL: judged safe or refused, and recognised as incremental where it can be."""
