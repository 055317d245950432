"""Quotas: rules, exceptions, charges, differences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TABLES = ("quota_rule", "quota_exemption", "quota_charge", "quota_difference")


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "quota_rule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("resource_group", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("limit", sa.Float(53), nullable=False),
        sa.Column("window", sa.String(16), nullable=True),
        sa.Column("openings", sa.String(1024), nullable=False),
        sa.Column("destinations", sa.String(1024), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quota_rule"),
    )
    op.create_table(
        "quota_exemption",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rule", sa.Integer(), nullable=False),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("until", sa.Float(53), nullable=False),
        sa.Column("limit", sa.Float(53), nullable=True),
        sa.Column("note", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quota_exemption"),
    )
    op.create_index("ix_quota_exemption_rule", "quota_exemption", ["rule"])
    op.create_table(
        "quota_charge",
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("user", sa.String(255), nullable=False),
        sa.Column("groups", sa.String(16_384), nullable=False),
        sa.Column("resource_group", sa.String(64), nullable=False),
        sa.Column("destination", sa.String(64), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("hours", sa.Float(53), nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("began", sa.Float(53), nullable=True),
        sa.Column("ended", sa.Float(53), nullable=True),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("session", name="pk_quota_charge"),
    )
    op.create_index("ix_quota_charge_user_ended", "quota_charge", ["user", "ended"])
    op.create_index("ix_quota_charge_at", "quota_charge", ["at"])
    op.create_index("ix_quota_charge_ended", "quota_charge", ["ended"])
    op.create_table(
        "quota_difference",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("session", sa.String(16), nullable=False),
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("found", sa.Float(53), nullable=False),
        sa.Column("charged_s", sa.Float(53), nullable=False),
        sa.Column("counted_s", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_quota_difference"),
    )
    op.create_index("ix_quota_difference_session", "quota_difference", ["session"])
    op.create_index("ix_quota_difference_found", "quota_difference", ["found"])


def downgrade() -> None:
    """Drop them."""
    for table in TABLES:
        op.drop_table(table)
