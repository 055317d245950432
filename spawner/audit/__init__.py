"""The append-only record of who did what, when: one JSON object a line, each holding the hash of the line before."""

from spawner.audit.line import Field
from spawner.audit.record import Audit, AuditError

__all__ = ["Audit", "AuditError", "Field"]
