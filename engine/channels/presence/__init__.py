"""Connections and members as rows: written, followed, swept."""
