"""The common part of all HTTP routes: problem documents and the check of origins."""
