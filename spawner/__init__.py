"""Beside the hub: who may start what, how it is submitted and watched. It never sees a pixel."""
