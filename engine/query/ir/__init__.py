"""The model of a query that both forms are parsed into, and what can be said of it: normal form, order, comparisons."""
