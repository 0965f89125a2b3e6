"""The running server: settings, node, HTTP application, draining."""
