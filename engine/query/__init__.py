"""From builder JSON or SQL to a compiled query.

``builder`` and ``sql`` parse the two forms into the model of ``ir``; ``compile`` makes a plan of it; ``policies`` adds the
row-level security of a served role (``policies.table_rule``); ``planner`` joins them; ``literals`` gives values
PostgreSQL's own spelling. ``sql.safety.check`` judges whether a client's SQL may run.
"""
