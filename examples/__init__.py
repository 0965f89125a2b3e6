"""Example applications against ``realtime dev``: pages without a build step, their SQL, and one small back end for all.

``python -m examples`` (``make examples``) starts everything. Each folder with a ``schema.sql`` is an example, and its name
that of the schema with its tables and functions.
"""
