"""Stored messages: the order of commits recorded, pages and resumes read, old ones expired."""
