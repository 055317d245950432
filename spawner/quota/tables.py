"""The ledger's tables: rules, exceptions from them, what each session was charged, and where the batch system's times differed."""

from __future__ import annotations

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from spawner.store.tables import Base


class RuleRow(Base):
    """One `spawner.quota.policy.Rule`."""

    __tablename__ = "quota_rule"

    id: Mapped[int] = mapped_column(primary_key=True)
    scope: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(255))
    resource_group: Mapped[str]
    kind: Mapped[str] = mapped_column(String(16))
    limit: Mapped[float]
    window: Mapped[str | None] = mapped_column(String(16))
    openings: Mapped[str] = mapped_column(String(1024))
    """As `spawner.quota.opening.parse` reads them."""
    destinations: Mapped[str] = mapped_column(String(1024))
    """Names with commas between."""
    shared: Mapped[bool]


class ExemptionRow(Base):
    """One `spawner.quota.policy.Exemption`; it stays after its end, and goes with its rule."""

    __tablename__ = "quota_exemption"

    id: Mapped[int] = mapped_column(primary_key=True)
    rule: Mapped[int] = mapped_column(index=True)
    user: Mapped[str] = mapped_column(String(255))
    until: Mapped[float]
    limit: Mapped[float | None]
    note: Mapped[str] = mapped_column(String(255))


class ChargeRow(Base):
    """What one session holds or has used; the session's id makes it one, however often it is asked for."""

    __tablename__ = "quota_charge"
    __table_args__ = (Index("ix_quota_charge_user_ended", "user", "ended"),)

    session: Mapped[str] = mapped_column(String(16), primary_key=True)
    user: Mapped[str] = mapped_column(String(255))
    groups: Mapped[str] = mapped_column(String(16_384))
    """JSON list of the hub's groups that the person was in when it was reserved."""
    resource_group: Mapped[str]
    destination: Mapped[str]
    gpus: Mapped[int]
    hours: Mapped[float]
    at: Mapped[float] = mapped_column(index=True)
    state: Mapped[str] = mapped_column(String(16))
    """`spawner.quota.ledger.State`."""
    began: Mapped[float | None]
    ended: Mapped[float | None] = mapped_column(index=True)
    job: Mapped[str]
    """The batch system's id; empty until it is known."""
    source: Mapped[str] = mapped_column(String(16))
    """Whose times `began` and `ended` are: `spawner.quota.ledger.Source`; empty until it is settled."""


class DifferenceRow(Base):
    """A settled charge that did not agree with the batch system's accounting, and was corrected."""

    __tablename__ = "quota_difference"

    id: Mapped[int] = mapped_column(primary_key=True)
    session: Mapped[str] = mapped_column(String(16), index=True)
    job: Mapped[str]
    found: Mapped[float] = mapped_column(index=True)
    """When it was seen."""
    charged_s: Mapped[float]
    """Seconds that the session was charged before, and that the batch system counts."""
    counted_s: Mapped[float]
