"""Nodes behind load balancers, with the files of deploy/proxies."""
