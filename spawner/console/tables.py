"""What the console writes for the hub, and the hub for the console: messages, extensions, and what sessions do just now."""

from __future__ import annotations

from sqlalchemy import Float, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from spawner.store.tables import Base

TEXT_LIMIT = 500
"""Characters of a message; it is shown in one line of the Lab."""


class NoticeRow(Base):
    """A message from an administrator to whoever is in a session; the hub hands it over at the session's next pulse."""

    __tablename__ = "notice"

    id: Mapped[int] = mapped_column(primary_key=True)
    session: Mapped[str] = mapped_column(String(16), ForeignKey("session.id"), index=True)
    text: Mapped[str] = mapped_column(String(TEXT_LIMIT))
    by: Mapped[str] = mapped_column(String(255))
    at: Mapped[float] = mapped_column(Float(53))


class ExtensionRow(Base):
    """More time, as the batch system has granted it; the hub moves the session's deadline at its next pulse."""

    __tablename__ = "extension"

    id: Mapped[int] = mapped_column(primary_key=True)
    session: Mapped[str] = mapped_column(String(16), ForeignKey("session.id"), index=True)
    seconds: Mapped[float] = mapped_column(Float(53))
    by: Mapped[str] = mapped_column(String(255))
    at: Mapped[float] = mapped_column(Float(53))
    applied: Mapped[float | None] = mapped_column(Float(53))


class ActivityRow(Base):
    """What a session last said of itself, and the batch system of its job."""

    __tablename__ = "activity"

    session: Mapped[str] = mapped_column(String(16), ForeignKey("session.id"), primary_key=True)
    at: Mapped[float] = mapped_column(Float(53))
    """When, in seconds since the epoch."""
    kernels_busy: Mapped[int | None]
    gpu_busy: Mapped[float | None] = mapped_column(Float(53))
    """Share of the GPUs' time, 0 to 1; none where it can't be told."""
    node: Mapped[str] = mapped_column(String(253))
    waits_for: Mapped[str] = mapped_column(String(200))
    """The batch system's own word, as it came; empty while it does not wait."""
    before: Mapped[int | None]
    """How many are served first."""
    expected: Mapped[float | None] = mapped_column(Float(53))
    """When it is expected to start."""
