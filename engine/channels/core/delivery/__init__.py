"""From a decoded transaction to its subscribers: events, filter verdicts, batches, subscriptions and the hub. No I/O."""
