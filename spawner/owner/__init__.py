"""The hub's line to each destination's owner: who is alive, who may not stay, what the cloud saw."""
