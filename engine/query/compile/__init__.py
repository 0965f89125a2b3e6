"""A query model into what runs it: predicate, sort key, index terms, documents, SQL text."""
