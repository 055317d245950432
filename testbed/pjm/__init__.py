"""An emulator of Fujitsu PJM's commands: real processes on the testbed's nodes, as whoever handed them in.

It says and does what the public manuals and logs say of pjsub, pjstat, pjdel, pjhold, pjrls and pjsig; what those leave open is a
switch (switches.py), so that an adapter can be tried against either. docs/pjm.md tells how it was made. Standard library alone.
"""
