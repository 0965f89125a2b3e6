"""What connections need of the engine, as interfaces."""
