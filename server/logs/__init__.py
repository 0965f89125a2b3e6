"""The log: its format, the masking of secrets, and the events of clients.

Events are named in ``docs/operations/logs.md``, each with its meaning and what to do.
"""
