"""Alerts: what a node measures of itself, the pass in which PostgreSQL compares it with the rules, and the webhook."""
