"""Alembic's entrance: the caller brings the connection, and with it the transaction (`Database.upgrade`)."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False, render_as_batch=True)
context.run_migrations()
