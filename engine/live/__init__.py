"""Windows kept current: the transaction tail, the matcher, the windows, their differences."""
