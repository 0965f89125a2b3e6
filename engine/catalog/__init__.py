"""Descriptions of the exposed tables: loaded, built into a model, and kept in step with the stream."""
