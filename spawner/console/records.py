"""What is written down: the audit, the residue statements, what nodes were found to be. Read only, and hostile until parsed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from spawner.console.auditfile import AuditPage, AuditQuery, page
from spawner.console.office import Office
from spawner.residue.statement import BadStatementError
from spawner.residue.statement import parse as read_statement

STATEMENT_LIMIT = 256 * 1024
STATEMENTS = 200


class StatementView(msgspec.Struct, frozen=True, kw_only=True):
    """What one residue statement says."""

    session: str
    user: str
    destination: str
    verdict: str
    doubts: tuple[str, ...]
    signed: bool
    """Whether a signature lies beside it; `python -m spawner.residue verify` checks it."""


class StatementList(msgspec.Struct, frozen=True, kw_only=True):
    """Residue statements, the newest first."""

    statements: tuple[StatementView, ...]


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """What the last preflight on one node found."""

    node: str
    time: str
    check: str
    level: str
    text: str


class NodeList(msgspec.Struct, frozen=True, kw_only=True):
    """Findings a node, the newest of each check; a node without any has none."""

    findings: tuple[NodeView, ...]


async def audit(office: Office, query: AuditQuery) -> AuditPage:
    """Lines of the hub's audit."""
    path = Path(office.site.hub.audit_log)
    return await office.blocking(lambda: page(path, query))


async def statements(office: Office) -> StatementList:
    """The newest residue statements, judged again here."""
    folder = Path(office.site.hub.state, "statements")
    return await office.blocking(lambda: StatementList(statements=tuple(_statements(folder))))


def _statements(folder: Path) -> Iterator[StatementView]:
    if not folder.is_dir():
        return
    files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[:STATEMENTS]:
        try:
            statement = read_statement(path.read_bytes()[:STATEMENT_LIMIT])
        except (OSError, BadStatementError):
            yield StatementView(session=path.stem, user="", destination="", verdict="unreadable", doubts=(), signed=False)
            continue
        yield StatementView(
            session=statement.session,
            user=statement.user,
            destination=statement.destination,
            verdict=str(statement.verdict),
            doubts=tuple(str(doubt) for doubt in statement.doubts),
            signed=path.with_name(f"{path.name}.sig").is_file(),
        )


async def nodes(office: Office) -> NodeList:
    """What the preflights of sessions found on each node, from the audit: the newest of each check."""
    path = Path(office.site.hub.audit_log)
    found = await office.blocking(lambda: page(path, AuditQuery(event="node-finding", limit=1000)))
    newest: dict[tuple[str, str], NodeView] = {}
    for line in found.lines:
        of = line.fields
        seen = NodeView(
            node=of.get("node", ""), time=line.time, check=of.get("check", ""), level=of.get("level", ""), text=of.get("detail", "")
        )
        newest.setdefault((seen.node, seen.check), seen)
    return NodeList(findings=tuple(newest[key] for key in sorted(newest)))
