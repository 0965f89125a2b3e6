"""The messages of the protocol in both directions, as JSON and MessagePack."""
