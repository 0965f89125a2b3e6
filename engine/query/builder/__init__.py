"""Builder JSON into the query model."""
