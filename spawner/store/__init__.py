"""The hub's own database: who was given a session, and what became of it. JupyterHub's database is another one."""
