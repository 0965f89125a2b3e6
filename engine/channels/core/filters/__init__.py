"""Conditions of subscriptions and audiences on JSON: compiled, and evaluated with bounded work."""
