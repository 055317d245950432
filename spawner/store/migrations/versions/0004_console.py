"""Messages to sessions, extensions of them, and what they do just now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables `notice`, `extension` and `activity`."""
    op.create_table(
        "notice",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_notice"),
        sa.ForeignKeyConstraint(["session"], ["session.id"], name="fk_notice_session_session"),
    )
    op.create_table(
        "extension",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("applied", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_extension"),
        sa.ForeignKeyConstraint(["session"], ["session.id"], name="fk_extension_session_session"),
    )
    op.create_table(
        "activity",
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("kernels_busy", sa.Integer(), nullable=True),
        sa.Column("gpu_busy", sa.Float(53), nullable=True),
        sa.Column("node", sa.String(253), nullable=False),
        sa.Column("waits_for", sa.String(200), nullable=False),
        sa.Column("before", sa.Integer(), nullable=True),
        sa.Column("expected", sa.Float(53), nullable=True),
        sa.PrimaryKeyConstraint("session", name="pk_activity"),
        sa.ForeignKeyConstraint(["session"], ["session.id"], name="fk_activity_session_session"),
    )
    for table in ("notice", "extension"):
        op.create_index(f"ix_{table}_session", table, ["session"])
