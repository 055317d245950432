"""The tables that every room shares, as typed rows. A room with tables of its own derives them from `Base`.

Times are seconds since the epoch, UTC. A change here needs a migration; `tests/store` compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Float, MetaData, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name, so that a migration can change it on SQLite as on PostgreSQL."""


class Base(DeclarativeBase):
    """What all tables have in common."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {str: String(64), float: Float(53)}  # noqa: RUF012  (SQLAlchemy's own idiom)


class SessionRow(Base):
    """One session, from the wish to long after its end; written before its job is submitted. It holds no secret."""

    __tablename__ = "session"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    """Opaque and random (`enclave.messages.SessionId`); its job is called `renkei-ID`."""
    user: Mapped[str] = mapped_column(index=True)
    server: Mapped[str]
    """JupyterHub's name of the server; empty for a person's default one."""
    account: Mapped[str]
    """Unix account of its job."""
    uid: Mapped[int] = mapped_column(BigInteger)
    resource_group: Mapped[str]
    destination: Mapped[str]
    gpus: Mapped[int]
    hours: Mapped[float]
    language: Mapped[str] = mapped_column(String(2))
    cloud_account: Mapped[str] = mapped_column(String(255))
    """Whose area at the destination is mounted, and which folder there."""
    cloud_folder: Mapped[str] = mapped_column(String(4096))

    state: Mapped[str] = mapped_column(String(16), index=True)
    """`spawner.sessions.State`."""
    reason: Mapped[str | None]
    """`enclave.messages.Reason` of its end; none when it ended as asked, or has not."""
    words: Mapped[str] = mapped_column(String(4096), default="")
    """The last lines about its end, as far as a page may show them (`spawner.lastwords`)."""
    job: Mapped[str]
    """The batch system's id; empty until it is known."""

    wished: Mapped[float] = mapped_column(index=True)
    reserved: Mapped[float | None]
    submitting: Mapped[float | None]
    queued: Mapped[float | None]
    starting: Mapped[float | None]
    running: Mapped[float | None]
    ending: Mapped[float | None]
    ended: Mapped[float | None] = mapped_column(index=True)

    address: Mapped[str]
    """Where its doorway is, once the job has said so."""
    port: Mapped[int]
    key_hash: Mapped[str]
    """SHA-256 of the bearer key of its later calls, and of its ticket."""
    ticket_hash: Mapped[str]
    ticket_shown: Mapped[bool]
    ssh_public_key: Mapped[str] = mapped_column(String(256))
    deadline: Mapped[float]
    began: Mapped[float]
    certificates: Mapped[int]
    """How many were signed for it, and the first and the last one's serial."""
    first_serial: Mapped[int] = mapped_column(BigInteger)
    last_serial: Mapped[int] = mapped_column(BigInteger)
