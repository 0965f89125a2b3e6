"""Clients' SQL: judged safe or refused (``safety``), and recognised as incremental where it can be (``to_query``)."""
