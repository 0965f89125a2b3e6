"""Interfaces of the engine that connections use."""
