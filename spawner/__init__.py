"""Beside the hub: who may start what, how it is submitted and watched. It never sees a pixel."""

__version__ = "0.1.0"
