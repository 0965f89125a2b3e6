"""What differs between subscribers with one role: their claims, by which they are planned for, read and renewed."""
