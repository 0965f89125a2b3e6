"""``realtime types``: the documents of the exposed collections as types of TypeScript or Python."""
