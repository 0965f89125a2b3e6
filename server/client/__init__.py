"""One client, whatever its transport: carries out what its session decides."""
