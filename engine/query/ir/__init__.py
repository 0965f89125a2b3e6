"""The model of a query that both forms are parsed into, with its normal form, order and comparisons."""
