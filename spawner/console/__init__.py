"""The administrators' service at /services/quota: pages and REST, in a process of its own beside the hub."""
