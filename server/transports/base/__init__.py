"""What the connections of the transports share."""
