"""The pages of the documentation, and those that it shows, in a real browser."""
