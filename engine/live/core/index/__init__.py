"""An index of queries by the rows that they may match: which windows a changed row concerns."""
