"""The ways a client can be connected: WebSocket, server-sent events, long polling."""
