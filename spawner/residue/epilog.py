"""Whether an epilog's report is root's, of the node where the job ran: MUNGE's word against the batch system's."""

from __future__ import annotations

from enclave.messages import BadMessageError, Epilog, EpilogReport, decode
from spawner.proof import ProofError, unmunge
from spawner.residue.case import Case
from spawner.schedulers.base import Lookup, SchedulerError

PAYLOAD_LIMIT = 6000
"""Bytes of a report."""


class NotBelievedError(Exception):
    """What was said is not believed; the text is for the log."""


async def believed(message: Epilog, case: Case, peer: str, *, scheduler: Lookup, command: str) -> EpilogReport:
    """The report in `message`, sent by `peer` about the job of `case`; `command` is unmunge. Raises NotBelievedError."""
    try:
        credential = await unmunge(command, message.munge, PAYLOAD_LIMIT)
        # The cheap checks first: who can't prove anything must not make the hub ask the batch system.
        if credential.uid != 0:
            raise NotBelievedError(f"MUNGE says uid {credential.uid}, not root")
        report = decode(credential.payload, EpilogReport)
        if (report.job, report.uid) != (case.job, case.uid):
            raise NotBelievedError("it speaks of another job")
        status = (await scheduler.query((case.job,))).get(case.job)
        addresses = await scheduler.node_addresses(status.node) if status is not None and status.node else ()
    except (ProofError, BadMessageError, SchedulerError) as error:
        raise NotBelievedError(str(error)) from error
    if not {peer, credential.host} <= set(addresses):
        raise NotBelievedError(f"sent by {peer}, proved by {credential.host}, but the job ran elsewhere: {', '.join(addresses)}")
    return report
