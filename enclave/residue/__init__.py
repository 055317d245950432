"""What a session leaves on its node, as the enclave can see it: the inventory, the mount's traffic, the report at the end."""
