"""What server-sent events and long polling share: connections that send by POST."""
