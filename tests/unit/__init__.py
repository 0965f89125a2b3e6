"""Tests that need no database: seconds in all."""
