"""The protocol as data: codes, errors, values and their JSON forms, encryption."""
