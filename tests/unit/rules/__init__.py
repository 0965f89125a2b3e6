"""Rules of channels: conditions, and who decides."""
