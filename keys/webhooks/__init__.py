"""A workspace's webhooks: its events, signed and sent to addresses of its choice until they arrive."""
