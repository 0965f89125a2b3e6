"""Messages on their way into the database, and the sessions they take."""
