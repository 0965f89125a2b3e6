"""How the Python SDK ends its connections."""
