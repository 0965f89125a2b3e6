"""What names mean in policies and in the texts of functions that they call."""
