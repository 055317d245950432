"""The record of sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIMES = ("reserved", "submitting", "queued", "starting", "running", "ending", "ended")
INDEXED = ("user", "state", "wished", "ended")


def upgrade() -> None:
    """Make the table `session`."""
    op.create_table(
        "session",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("resource_group", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("hours", sa.Float(53), nullable=False),
        sa.Column("language", sa.String(2), nullable=False),
        sa.Column("cloud_account", sa.String(255), nullable=False),
        sa.Column("cloud_folder", sa.String(4096), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(64), nullable=True),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("wished", sa.Float(53), nullable=False),
        *(sa.Column(name, sa.Float(53), nullable=True) for name in TIMES),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("key_hash", sa.String(64), nullable=False),
        sa.Column("ticket_hash", sa.String(64), nullable=False),
        sa.Column("ticket_shown", sa.Boolean(), nullable=False),
        sa.Column("ssh_public_key", sa.String(256), nullable=False),
        sa.Column("deadline", sa.Float(53), nullable=False),
        sa.Column("began", sa.Float(53), nullable=False),
        sa.Column("certificates", sa.Integer(), nullable=False),
        sa.Column("first_serial", sa.BigInteger(), nullable=False),
        sa.Column("last_serial", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
    )
    for name in INDEXED:
        op.create_index(f"ix_session_{name}", "session", [name])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("session")
