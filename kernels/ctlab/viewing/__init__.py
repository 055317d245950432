"""The viewer: everything between a volume in memory and the pictures that leave it. `ctlab.view` makes one."""
