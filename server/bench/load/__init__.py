"""Clients of a load in processes of their own, their times, and what the processes of the server use."""
