"""The files of deploy/ that start a cluster."""
