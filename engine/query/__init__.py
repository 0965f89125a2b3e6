"""From builder JSON or SQL to a compiled query.

``builder`` and ``sql`` parse the two forms into the model of ``ir``; ``compile`` makes a plan of it; ``planner`` joins them;
``literals`` gives values PostgreSQL's own spelling.
"""
