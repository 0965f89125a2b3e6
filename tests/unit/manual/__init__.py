"""Tests of what builds, checks and releases the project."""
