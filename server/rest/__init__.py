"""The REST API, for servers: endpoints over named queries, their OpenAPI description, and access control."""

from server.rest.app import ENDPOINTS, Rest

__all__ = ["ENDPOINTS", "Rest"]
