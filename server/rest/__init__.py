"""The REST API, for servers: endpoints over named queries, their description, and who may use them."""

from server.rest.app import ENDPOINTS, Rest

__all__ = ["ENDPOINTS", "Rest"]
