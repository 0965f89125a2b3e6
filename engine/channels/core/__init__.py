"""What a transaction means for channels, and what their subscribers receive. No I/O."""
