"""WebSocket (RFC 6455): handshake, assembly of fragments, the connection."""
