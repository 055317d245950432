"""From a wish to a notebook that answers: the steps of a start, each of which may end it with a reason."""

from __future__ import annotations

import asyncio
import pwd
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from enclave.messages import Check, Order, ProofKind, Reason
from spawner import fitness, options
from spawner.audit import AuditError
from spawner.authority.client import AuthorityDownError, AuthorityRefusedError
from spawner.authority.protocol import Account
from spawner.capacity import overall
from spawner.desk import Desk
from spawner.jobscript import render
from spawner.options import Request
from spawner.quota.gate import QuotaError
from spawner.quota.policy import Refused, Wish
from spawner.quota.sentences import refusal
from spawner.schedulers.base import Job, JobState, SchedulerError
from spawner.sessions import Environment, Saved, Session, State, Step, new_id
from spawner.site import ResourceGroup, RunAs, Site
from spawner.store.database import DatabaseDownError

USER = re.compile(r"[a-z][a-z0-9-]{0,30}", re.ASCII)
"""Names of people that can become part of an account's name; nothing else ever gets near a command."""

LOST_S = 8.0
"""Seconds for which a job is looked for by its name when the answer to its submission was lost."""

AGAIN_S = (2.0, 5.0, 10.0)
"""Pauses before a job is handed in again that the batch system could not take just then, in seconds."""

LOOK_S = 1.0
"""Seconds between two looks at the clock while a session starts; changes are seen at once."""


Told = Callable[[str], str]


class FailureError(Exception):
    """There will be no session. The text is for the log; `reason` picks the person's sentence."""

    def __init__(self, reason: Reason, text: str, unfit: Check | None = None, told: Told | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.unfit = unfit
        """What the node lacks, where that is why."""
        self.told = told
        """What happened, in a language, where the person's sentence has numbers in it."""


async def cloud_accounts(desk: Desk, user: str) -> tuple[Account, ...]:
    """Where `user` has an account, by the authority's table. Raises FailureError."""
    try:
        return await desk.authority.accounts(user)
    except AuthorityDownError as error:
        raise FailureError(Reason.AUTHORITY_DOWN, str(error)) from error
    except AuthorityRefusedError as error:
        raise FailureError(Reason.NO_CLOUD_ACCOUNT, str(error)) from error


@dataclass(frozen=True)
class Person:
    """Who wishes, and the hub's groups that they are in now."""

    user: str
    groups: tuple[str, ...] = ()


async def prepare(desk: Desk, person: Person, server: str, wish: object, environment: Environment) -> Session:
    """A session written down for `person`, whose options `wish` are checked here, and reserved. Raises FailureError.

    One that waits since before the hub was restarted is taken up if it is what is asked for, whatever is offered by now and whoever
    does not answer; any other is ended.
    """
    user = person.user
    if not USER.fullmatch(user):
        raise FailureError(Reason.NO_UNIX_ACCOUNT, f"a name that no account can have: {ascii(user)[:100]}")
    waiting = await desk.adoption.waiting_for(user, server)
    if waiting is not None and options.ask_for(wish, waiting.saved.request):
        waiting.environment, waiting.claimed = environment, True
        waiting.wake()
        return waiting
    accounts = await cloud_accounts(desk, user)
    try:
        request = options.check(wish, desk.site, accounts, overall(desk.site.resource_group, desk.watcher.copy, time.time()))
    except options.OptionsError as error:
        raise FailureError(error.reason, str(error)) from error
    if waiting is not None and not waiting.closed:
        await desk.end(waiting, Reason.CANCELLED)
    account, uid = await unix_account(desk.site, user)
    saved = Saved(
        id=new_id(),
        user=user,
        server=server,
        account=account,
        uid=uid,
        request=request,
        cloud=_at(request.destination, accounts),
    )
    session = Session(saved, environment)
    await _reserve(desk, person, session.id, request)
    # From here to where the session is registered nothing is waited for: of two wishes at once, the later sees the earlier.
    if other := living_at(desk, user) - {request.destination}:
        desk.settle(session)
        raise FailureError(Reason.OTHER_DESTINATION, f"a session at {', '.join(sorted(other))} is not over")
    try:
        desk.audit.record(
            "session-request",
            session=saved.id,
            user=user,
            destination=request.destination,
            resource_group=request.resource_group,
            gpus=request.gpus,
            hours=request.hours,
        )
    except AuditError as error:
        desk.settle(session)
        raise FailureError(Reason.INTERNAL, str(error)) from error
    desk.attend(session)
    session.enter(State.WISH)
    session.enter(State.RESERVED)
    try:
        await _written(session)
    except FailureError as error:
        desk.close_session(session, error.reason)
        raise
    return session


def living_at(desk: Desk, user: str) -> set[str]:
    """Where `user` has sessions that are not over.

    There is one at most: a person's sessions share a host name in the browser, so that a page of one could read what another
    shows; at one destination both show what the person may see there anyway.
    """
    return {each.saved.request.destination for each in desk.sessions if each.saved.user == user}


async def _reserve(desk: Desk, person: Person, session: str, request: Request) -> None:
    """The quota that `request` takes is the session's, as long as it lasts. Raises FailureError."""
    wish = Wish(
        session=session,
        user=person.user,
        groups=person.groups,
        resource_group=request.resource_group,
        destination=request.destination,
        gpus=request.gpus,
        hours=request.hours,
        at=time.time(),
    )
    try:
        await desk.gate.reserve(wish)
    except QuotaError as error:
        desk.forbidden(person.user, error.refused)
        raise FailureError(Reason.QUOTA, str(error), told=_told(desk, error.refused, wish.at)) from error
    except DatabaseDownError as error:
        raise FailureError(Reason.DATABASE_DOWN, str(error)) from error


async def _written(session: Session) -> None:
    """The session is on the disk as it is now. Raises FailureError: what can't be written down is not begun."""
    try:
        await session.write()
    except DatabaseDownError as error:
        raise FailureError(Reason.DATABASE_DOWN, str(error)) from error


def _told(desk: Desk, refused: Refused, now: float) -> Told:
    site = desk.site

    def told(language: str) -> str:
        labels = {each.name: each.label.text(language) for each in site.resource_group}
        labels |= {each.name: each.label.text(language) for each in site.destination}
        return refusal(refused, language, now, ZoneInfo(site.hub.time_zone), labels)

    return told


async def submit(desk: Desk, session: Session) -> None:
    """Hand in the session's job and follow it; when cancelled meanwhile, the session still learns its job's id.

    One that has its job already is only followed. Raises FailureError.
    """
    if session.saved.job:
        desk.follow(session)
        return
    group = _group(desk.site, session)
    destination = desk.site.find_destination(session.saved.request.destination)
    proof = desk.site.scheduler.proved_by
    order = Order(
        session=session.id,
        callback_url=desk.callback_url,
        callback_ca=desk.callback_ca,
        proof=proof,
        ticket=session.give_ticket() if proof is ProofKind.TICKET else "",
        mechanism=group.mechanism,
        software=desk.site.node.software,
        presets=desk.site.node.presets,
        kernels=desk.site.node.kernels,
        gpus=session.saved.request.gpus,
        pause_s=destination.pause_s if destination else 0,
        lowered=desk.site.preflight.lowered(),
    )
    batch = desk.site.scheduler
    script = render(specification(session, group, desk.site), order, desk.site.node, batch.kind, batch.pjm)
    session.enter(State.SUBMITTING)
    await _written(session)
    for pause in (*AGAIN_S, None):
        try:
            session.saved.job = await _hand_in(desk, session, script)
        except SchedulerError as error:
            if error.again and pause is not None:
                desk.log.warning("The batch system asks to be asked again for session %s: %s", session.id, error)
                session.note(Step.SCHEDULER_SILENT)
                # What may have been taken all the same is looked for meanwhile, so that there is never a second one.
                found = await desk.adoption.search(session, pause) if error.lost else await asyncio.sleep(pause, "")
                if not found:
                    continue
                session.saved.job = found
            else:
                session.saved.job = await _lost(desk, session, error)
        break
    session.enter(State.QUEUED)
    session.note(Step.SUBMITTED)
    desk.follow(session)


async def _hand_in(desk: Desk, session: Session, script: str) -> str:
    """The id of the job that `script` has become, also when cancelled meanwhile. Raises SchedulerError."""
    handing_in = asyncio.ensure_future(desk.scheduler.submit(script, session.saved.account))
    try:
        return await asyncio.shield(handing_in)
    except asyncio.CancelledError:
        # The batch system may have it already: a job nobody knows of would be nobody's to cancel.
        await asyncio.wait([handing_in])
        if not handing_in.cancelled() and handing_in.exception() is None:
            session.saved.job = handing_in.result()
            if session.closed or not session.waiting:
                desk.insist(session.saved.job, session.saved.account, session)
            else:
                session.enter(State.QUEUED)
        raise


async def _lost(desk: Desk, session: Session, error: SchedulerError) -> str:
    """The job that was handed in though the answer says nothing of it. Raises FailureError where none is found.

    A job that appears still later is cancelled: nobody is told twice what became of one wish.
    """
    if error.lost:
        desk.log.warning("The answer for session %s was lost: %s", session.id, error)
        found = await desk.adoption.search(session, LOST_S)
        if found is not None:
            return found
    raise FailureError(error.reason, str(error)) from error


async def until_ready(desk: Desk, session: Session) -> tuple[str, int]:
    """Address and port of the session's doorway, once its notebook answers.

    The time in the queue and the time from the job's start are limited apart. Raises FailureError.
    """
    limits = desk.site.scheduler
    # A hub that was restarted does not begin the wait anew.
    waited = max(0.0, time.time() - session.saved.times.get(State.QUEUED, time.time()))
    until, late = time.monotonic() + max(0.0, limits.queue_timeout - waited), Reason.QUEUE_TIMEOUT
    while session.saved.state is not State.RUNNING:
        if session.failure is not None:
            raise FailureError(*session.failure, session.unfit)
        status = desk.watcher.status(session.saved.job)
        if status.state in {JobState.ENDING, JobState.ENDED}:
            raise await _died(desk, session)
        if late is Reason.QUEUE_TIMEOUT and (status.state is JobState.RUNNING or session.saved.state is State.STARTING):
            until, late = time.monotonic() + limits.start_timeout, Reason.START_TIMEOUT
        if time.monotonic() >= until:
            raise FailureError(late, f"job {session.saved.job} was not ready in time")
        await session.changed(LOOK_S)
    desk.follow(session)
    return session.saved.address, session.saved.port


async def unix_account(site: Site, user: str) -> tuple[str, int]:
    """Name and uid of the account that `user`'s jobs run under. Raises FailureError when there is none."""
    account = user if site.scheduler.run_as is RunAs.PERSON else site.scheduler.account.format(user=user)
    try:
        entry = await asyncio.to_thread(pwd.getpwnam, account)
    except KeyError as error:
        raise FailureError(Reason.NO_UNIX_ACCOUNT, f"no Unix account {account}") from error
    if entry.pw_uid == 0:
        raise FailureError(Reason.NO_UNIX_ACCOUNT, f"{account} is root")
    return account, entry.pw_uid


def specification(session: Session, group: ResourceGroup, site: Site) -> Job:
    """What the session's job asks for."""
    request = session.saved.request
    share = max(1, request.gpus)
    return Job(
        name=session.name,
        partition=group.partition,
        gres=group.gres,
        gpus=request.gpus,
        cpus=share * group.cpus_per_gpu,
        memory_mb=share * group.memory_per_gpu_mb,
        seconds=round(request.hours * 3600),
        exclusive=group.exclusive or site.scheduler.run_as is RunAs.PERSON,
        resources=group.resources,
    )


async def _died(desk: Desk, session: Session) -> FailureError:
    """Why the job ended before its notebook answered: what it said itself, what it was refused, what its exit code says."""
    if session.failure is not None:
        return FailureError(*session.failure, session.unfit)
    if session.refused is not None:
        return FailureError(*session.refused)
    try:
        reason = await desk.scheduler.ending(session.saved.job)
    except SchedulerError as error:
        return FailureError(Reason.JOB_DIED, f"job {session.saved.job} ended, nobody can tell why: {error}")
    if reason is Reason.SANDBOX_IMPOSSIBLE:
        # Only the job script itself ends so: the enclave never ran.
        node = desk.watcher.status(session.saved.job).node
        try:
            fitness.unfit((fitness.NO_NAMESPACES,), (), session=session, node=node, audit=desk.audit, log=desk.log)
        except AuditError as error:
            return FailureError(Reason.INTERNAL, str(error))
        return FailureError(Reason.NODE_UNFIT, f"job {session.saved.job}: unshare was refused on {node}", Check.NAMESPACES)
    return FailureError(reason or Reason.JOB_DIED, f"job {session.saved.job} ended before it was ready")


def _group(site: Site, session: Session) -> ResourceGroup:
    group = site.group(session.saved.request.resource_group)
    if group is None:
        raise FailureError(Reason.INTERNAL, f"no resource group {session.saved.request.resource_group!r}")
    return group


def _at(destination: str, accounts: Sequence[Account]) -> Account:
    return next(account for account in accounts if account.destination == destination)
