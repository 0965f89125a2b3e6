"""Live queries and what the server's role, a visibility or an owner may do."""
