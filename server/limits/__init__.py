"""What one client, user or address may ask of the server, and how that is counted."""
