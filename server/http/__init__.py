"""The common part of all HTTP routes: problem documents, the check of origins, and security headers."""
