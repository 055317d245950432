"""Adapters to batch systems: verbs in, typed values out; no scheduler text goes past this room."""
