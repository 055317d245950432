"""What is wrong with a compute node, by what its job says: weighed by this site's levels, written down, and told."""

from __future__ import annotations

from collections.abc import Collection
from logging import Logger

from enclave.messages import Check, Finding, FindingLevel, Reason
from spawner.audit import Audit
from spawner.sessions import Session

NO_NAMESPACES = Finding(check=Check.NAMESPACES, level=FindingLevel.REFUSE, detail="unshare was refused")
"""The one check that fails before there is an enclave to report it: the job script's exit code does."""


def unfit(
    findings: Collection[Finding], lowered: Collection[Check], *, session: Session, node: str, audit: Audit, log: Logger
) -> bool:
    """Whether one of the `findings` about `node` refuses the `session`, which then has failed.

    The levels are the site file's, asked here again, and not the job's word alone. Raises AuditError when a finding can't be
    written down.
    """
    refusing = []
    for each in findings:
        level = FindingLevel.BANNER if each.check in lowered and each.level is FindingLevel.BANNER else FindingLevel.REFUSE
        log.warning("Session %s: node %s fails %s (%s): %s", session.id, node, each.check, level, ascii(each.detail))
        audit.record(
            "node-finding",
            session=session.id,
            user=session.saved.user,
            job=session.saved.job,
            node=node,
            check=each.check,
            level=level,
            detail=each.detail[:500],
        )
        if level is FindingLevel.REFUSE:
            refusing.append(each)
    if refusing:
        text = "; ".join(f"node {node} fails {each.check}: {each.detail[:300]!a}" for each in refusing)
        session.fail(Reason.NODE_UNFIT, text, refusing[0].check)
    return bool(refusing)
