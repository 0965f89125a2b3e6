"""Row-level security in the predicate language: policies as a part of the condition of an incremental window.

``table_rule`` makes one condition of all policies of a table; ``conditions`` compiles each from PostgreSQL's text of it
(``printed``, ``operands``); ``facts`` is what PostgreSQL evaluates for them when the rows are read.
"""
