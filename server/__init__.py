"""The server: settings, command line, HTTP and WebSocket ends over ``engine``."""
