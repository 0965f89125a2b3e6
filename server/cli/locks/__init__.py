"""Waiting for the locks of a statement: limited, watched, and tried again."""
