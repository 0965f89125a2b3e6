"""From builder JSON or SQL to a compiled query."""
