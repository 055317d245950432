"""The last lines about a session's end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; of what ended before there are no lines."""
    op.add_column("session", sa.Column("words", sa.String(4096), nullable=False, server_default=""))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("session", "words")
