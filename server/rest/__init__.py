"""The REST API, for servers: endpoints over named queries, access control, and in ``description`` what the API can do."""

from server.rest.app import ENDPOINTS, Rest

__all__ = ["ENDPOINTS", "Rest"]
