"""``realtime nats-config``: the configuration of NATS servers for a cluster."""
