"""The common part of server-sent events and long polling: connections that send by POST."""
