"""What sessions have sent to browsers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table `outflow`."""
    op.create_table(
        "outflow",
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("session", name="pk_outflow"),
    )
    op.create_index("ix_outflow_at", "outflow", ["at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("outflow")
