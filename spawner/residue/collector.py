"""Collects what the witnesses say of a session's end, and makes one signed statement of it: audited, on the disk, at the cloud.

Nobody waits for it: whoever ends a session has long gone on when the statement is made, a few seconds later.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import time
from collections.abc import Callable
from logging import Logger
from pathlib import Path

from enclave.messages import EnclaveReport, Epilog, Reason
from spawner import metrics
from spawner.audit import Audit, AuditError
from spawner.owner.owners import Owner, OwnerDownError, OwnerRefusedError
from spawner.owner.signing import SignatureError
from spawner.residue import case as cases
from spawner.residue.case import Case, Cases
from spawner.residue.epilog import NotBelievedError, believed
from spawner.residue.signing import signature
from spawner.residue.statement import CloudPart, HubPart, Statement, Verdict, judge, text
from spawner.schedulers.base import JobState, Lookup, SchedulerError
from spawner.sessions import Saved, Session, Sessions

AGREE_S = 120.0
"""Seconds for which the batch system is waited for, until it says that the job is over."""
PARTS_S = 3.0
"""Seconds for which a part that has not come yet is waited for after that; an epilog speaks before the job counts as over."""
CONNECTED_S = 15.0
"""Seconds for which the cloud is given to see the last connection end."""
STORE_S = (0.0, 5.0, 30.0, 300.0)
"""Pauses before each attempt to store a statement at the cloud; after the last, the next start of the hub tries again."""


class Residue:
    """One a hub process."""

    def __init__(
        self,
        *,
        folder: Path,
        scheduler: Lookup,
        sessions: Sessions,
        owner: Callable[[str], Owner | None],
        unmunge: str,
        audit: Audit,
        log: Logger,
    ) -> None:
        self.folder = folder
        self.counts: collections.Counter[Verdict] = collections.Counter()
        """How many statements of each verdict this process has made."""
        self._scheduler = scheduler
        self._sessions = sessions
        self._owner = owner
        self._unmunge = unmunge
        self._audit = audit
        self._log = log
        self._kept = Cases(folder / "pending", log)
        self._cases: dict[str, Case] = {}
        self._said = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def resume(self) -> None:
        """Finish what an earlier process began, and remember what it had heard of sessions that still go on."""
        for case in self._kept.left():
            if case.session not in self._cases:
                self._cases[case.session] = case
            if case.closed:
                self._finish_later(case)

    def stop(self) -> None:
        """Leave the rest to the next process."""
        for task in tuple(self._tasks):
            task.cancel()

    # What the witnesses say

    def enclave(self, session: Session, report: EnclaveReport) -> None:
        """The session's job reports; its bearer key was checked. The first word counts. Raises NotBelievedError."""
        if (report.session, report.job) != (session.id, session.saved.job):
            raise NotBelievedError("it speaks of another session")
        case = self._case(session.saved)
        if case.enclave is not None:
            raise NotBelievedError("it has reported before")
        case.enclave = report
        self._heard(case)

    async def epilog(self, job: str, peer: str, message: Epilog) -> None:
        """Somebody at `peer` says that the epilog of `job` found this. The first word counts. Raises NotBelievedError."""
        session = next((each for each in self._sessions if each.saved.job == job), None)
        case = self._case(session.saved) if session else next((each for each in self._cases.values() if each.job == job), None)
        if case is None:
            raise NotBelievedError(f"job {job} is no session's")
        report = await believed(message, case, peer, scheduler=self._scheduler, command=self._unmunge)
        if case.epilog is not None:
            raise NotBelievedError("it has reported before")
        case.epilog = report
        self._heard(case)

    def closed(self, session: Session, reason: Reason | None) -> None:
        """The hub has closed the session: its statement is made from now on. Without a certificate it had nothing to leave."""
        if session.saved.certificates:
            case = self._case(session.saved)
            case.closed, case.reason = True, reason
            case.certificates, case.last_serial = session.saved.certificates, session.saved.last_serial
            self._heard(case)
            self._finish_later(case)

    def _case(self, saved: Saved) -> Case:
        return self._cases.setdefault(saved.id, cases.of(saved))

    def _heard(self, case: Case) -> None:
        self._kept.keep(case)
        self._said.set()
        self._said = asyncio.Event()

    # The statement

    def _finish_later(self, case: Case) -> None:
        task = asyncio.ensure_future(self._finish(case))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, case: Case) -> None:
        path = self.folder / f"{case.session}.json"
        try:
            if not path.exists():
                await self._state(case, path)
            stored = await self._store(case, path.read_text())
        except (OSError, AuditError, SignatureError):
            self._log.exception("The residue statement of session %s waits for the hub's next start", case.session)
            return
        self._cases.pop(case.session, None)
        if stored:
            self._kept.forget(case)

    async def _state(self, case: Case, path: Path) -> None:
        ended, ended_at = await self._until_ended(case.job)
        await self._parts(case)
        cloud = await self._cloud(case)
        hub = HubPart(
            job=case.job,
            ended=ended,
            ended_at=ended_at,
            reason=case.reason,
            began=case.began,
            gpus=case.gpus,
            certificates=case.certificates,
            first_serial=case.first_serial,
            last_serial=case.last_serial,
            audit=str(self._audit.head()),
        )
        verdict, doubts = judge(hub, case.enclave, case.epilog, cloud)
        document = text(
            Statement(
                session=case.session,
                user=case.user,
                destination=case.destination,
                account=case.account,
                made=time.time(),
                verdict=verdict,
                doubts=doubts,
                hub=hub,
                enclave=case.enclave,
                epilog=case.epilog,
                cloud=cloud,
            )
        )
        signed = await signature(document, self._owner(case.destination), self.folder)
        known = {"session": case.session, "user": case.user, "job": case.job}
        digest = hashlib.sha256(document.encode()).hexdigest()
        self._audit.record("residue-statement", **known, verdict=verdict, doubts=" ".join(doubts), digest=digest)
        cases.write(path.with_name(f"{path.name}.sig"), signed.encode())
        cases.write(path, document.encode())
        self.counts[verdict] += 1
        if cloud is not None:
            metrics.transferred(case.destination, cloud)
        if verdict is Verdict.RESIDUE:
            self._audit.record("residue-alarm", **known, digest=digest)
            self._log.critical("RESIDUE: session %s of %s left something on its node (job %s): %s", *known.values(), path)
        else:
            self._log.info("Session %s: %s %s", case.session, verdict, " ".join(doubts))

    async def _until_ended(self, job: str) -> tuple[bool, float | None]:
        """Whether the batch system says that `job` is over, and when; or says twice that it knows no such job."""
        until, missing = time.monotonic() + AGREE_S, 0
        while time.monotonic() < until:
            try:
                status = (await self._scheduler.query((job,))).get(job)
            except SchedulerError:
                missing = 0
            else:
                if status is not None and status.state is JobState.ENDED:
                    return True, status.ends
                missing = missing + 1 if status is None else 0
                if missing == 2:
                    return True, None
            await asyncio.sleep(0.5)
        return False, None

    async def _parts(self, case: Case) -> None:
        until = time.monotonic() + PARTS_S
        while (case.enclave is None or case.epilog is None) and (left := until - time.monotonic()) > 0:
            said = self._said
            try:
                await asyncio.wait_for(said.wait(), left)
            except TimeoutError:
                return

    async def _cloud(self, case: Case) -> CloudPart | None:
        """What the cloud saw; None where it does not say."""
        owner = self._owner(case.destination)
        until, part = time.monotonic() + CONNECTED_S, None
        while owner is not None:
            try:
                seen = await owner.witness(case.session)
            except (OwnerDownError, OwnerRefusedError) as error:
                self._log.warning("The cloud did not say what it saw of session %s: %s", case.session, error)
                return part
            part = CloudPart(
                connections=seen.connections,
                open=seen.open,
                serials=seen.serials,
                opened=seen.opened,
                last_byte=seen.last_byte,
                closed=seen.closed,
                bytes_out=seen.bytes_out,
                bytes_in=seen.bytes_in,
                revoked=seen.revoked,
            )
            if not part.open or time.monotonic() > until:
                return part
            await asyncio.sleep(1)
        return None

    async def _store(self, case: Case, document: str) -> bool:
        """Leave the statement at the cloud; whether it need not be tried again."""
        owner = self._owner(case.destination)
        if owner is None:
            return True
        for pause in STORE_S:
            await asyncio.sleep(pause)
            try:
                stored = await owner.store(case.session, document)
            except OwnerDownError as error:
                self._log.warning("The residue statement of session %s is not at the cloud yet: %s", case.session, error)
            except OwnerRefusedError as error:
                self._log.error("The cloud does not take the residue statement of session %s: %s", case.session, error)
                return True
            else:
                self._audit.record("residue-stored", session=case.session, digest=stored.digest)
                return True
        return False
