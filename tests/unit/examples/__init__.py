"""The back end of the example applications, without a database."""
