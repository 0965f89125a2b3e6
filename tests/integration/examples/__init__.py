"""The back end of the example applications, with a database."""
