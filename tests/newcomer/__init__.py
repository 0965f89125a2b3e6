"""A newcomer who has the packages and the documentation, and nothing else (``make newcomer``)."""
