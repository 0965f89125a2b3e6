"""From a decoded transaction to its subscribers: events, filter verdicts, batches, subscriptions and the router. No I/O."""
