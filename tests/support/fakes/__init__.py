"""What stands for the live queries, the channels and the history, so that a test makes their events itself."""
