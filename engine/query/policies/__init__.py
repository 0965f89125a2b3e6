"""Row-level security in the predicate language: policies as a part of the condition of an incremental window."""
