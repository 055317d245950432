"""Measurements that anybody can repeat: `bin/bench NAME` runs one module of this package."""
