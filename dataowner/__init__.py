"""The data owner's side: what decides, beside the cloud's own sshd, who may come, and ends who may not stay.

Python 3.9 or newer, its standard library, and OpenSSH's own tools; it knows nothing of the hub but what the hub signs.
"""
