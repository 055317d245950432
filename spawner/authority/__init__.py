"""Signs certificates for session keys; its own process and account, so that the hub can't read the key."""
