"""Example applications against ``realtime dev``: their pages, their SQL, and one small back end for all.

``python -m examples`` (``make examples``) starts everything, ``python -m examples chat`` one alone. Each folder with a
``schema.sql`` is an example, and its name that of the schema with its tables and functions.
"""
