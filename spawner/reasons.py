"""The sentences that a person reads: why there is no session, what it waits for, and how far it has got.

Each complaint says what happened, that nothing was left, and what to do next. What an administrator needs stands in the log.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable

from enclave.messages import Check, Reason
from phrases import N_, translator
from spawner.sessions import Note, Step

NEVER_BEGAN = N_("Nothing was started and nothing was left behind.")
ENDED_CLEAN = N_("The session was ended, and none of your images were left on the compute node.")
"""Where nothing of the cloud had been opened yet."""
ENDED = N_("The session was ended; your images were in its memory only, and what was already saved on the cloud is safe.")
"""Where it may have been: what is left is for the residue statement to say, which comes later."""
NO_TRACE = N_("There is no session, and none of your images were left on a compute node.")
BEFORE_ALL = N_("The session was ended before your cloud area was opened, and nothing was left on the compute node.")
TRY_AGAIN = N_("Please try again in a few minutes; if it happens again, tell the administrator.")
TELL_ADMIN = N_("Please tell the administrator.")

SENTENCES: dict[Reason, tuple[str, str, str]] = {
    Reason.BAD_OPTIONS: (N_("This choice is not offered here."), NEVER_BEGAN, N_("Please choose again from the form.")),
    Reason.NO_CLOUD_ACCOUNT: (
        N_("You have no account at this cloud destination."),
        NEVER_BEGAN,
        N_("Please ask the administrator to register you there, or choose another destination."),
    ),
    Reason.NO_UNIX_ACCOUNT: (
        N_("The computing centre has no account for your sessions yet."),
        NEVER_BEGAN,
        N_("Please ask the administrator to create it."),
    ),
    Reason.NOT_PERMITTED: (
        N_("You are not permitted to use these compute nodes."),
        NEVER_BEGAN,
        N_("Please choose another resource group, or ask the administrator for permission."),
    ),
    Reason.SUBMIT_REFUSED: (N_("The computing centre did not accept the job."), NEVER_BEGAN, TELL_ADMIN),
    Reason.TOO_LARGE: (
        N_("The computing centre does not give that many GPUs, or that much time, to one session there."),
        NEVER_BEGAN,
        N_("Please ask for fewer GPUs or hours, or choose another resource group."),
    ),
    Reason.GROUP_CLOSED: (
        N_("The computing centre has closed these compute nodes for now, perhaps for maintenance."),
        NEVER_BEGAN,
        N_("Please choose another resource group, or try again later."),
    ),
    Reason.CENTRE_LIMIT: (
        N_("You have as many requests at the computing centre as it accepts from one person or group."),
        NEVER_BEGAN,
        N_("Please try again when one of them has ended."),
    ),
    Reason.CENTRE_RULE: (
        N_("A rule of the computing centre, about its points or a project's last day for example, does not allow this session."),
        NEVER_BEGAN,
        N_("Please ask the administrator, who finds the centre's own words in the hub's log."),
    ),
    Reason.SCHEDULER_DOWN: (N_("The computing centre's job system does not answer."), NEVER_BEGAN, TRY_AGAIN),
    Reason.DATABASE_DOWN: (N_("The hub can't write down new sessions at the moment."), NEVER_BEGAN, TRY_AGAIN),
    Reason.QUOTA: (
        N_("A rule of this site does not allow this session."),
        NEVER_BEGAN,
        N_("Please choose less or come back later, or ask the administrator for an exception."),
    ),
    Reason.QUEUE_TIMEOUT: (
        N_("No compute node became free in time."),
        NEVER_BEGAN,
        N_("Please try again later, or ask for fewer GPUs or hours."),
    ),
    Reason.START_TIMEOUT: (N_("A compute node was assigned, but the session did not start in time."), ENDED, TRY_AGAIN),
    Reason.JOB_DIED: (N_("The session ended on the compute node before it was ready."), ENDED, TRY_AGAIN),
    Reason.NODE_LOST: (
        N_("The compute node stopped working."),
        N_("What was already saved on the cloud is safe."),
        N_("Please start again; you will get another node."),
    ),
    Reason.CANCELLED: (N_("The job was cancelled at the computing centre."), ENDED, N_("You can start a new session.")),
    Reason.PROOF_REFUSED: (N_("The compute node could not prove its identity to this service."), ENDED_CLEAN, TELL_ADMIN),
    Reason.AUTHORITY_DOWN: (N_("The service that opens the way to the cloud does not answer."), NO_TRACE, TRY_AGAIN),
    Reason.NODE_UNFIT: (N_("The compute node is not fit for medical images."), BEFORE_ALL, TELL_ADMIN),
    Reason.SANDBOX_IMPOSSIBLE: (
        N_("The compute node can't set up the protected area that your images need."),
        ENDED_CLEAN,
        TELL_ADMIN,
    ),
    Reason.GATEWAY_REFUSED: (N_("The gateway to the cloud refused the connection."), ENDED_CLEAN, TELL_ADMIN),
    Reason.DESTINATION_DOWN: (N_("The cloud destination does not answer."), ENDED_CLEAN, TRY_AGAIN),
    Reason.HOST_KEY_CHANGED: (
        N_("The cloud destination showed another identity than the one on record, so no connection was made."),
        ENDED_CLEAN,
        TELL_ADMIN,
    ),
    Reason.CERTIFICATE_REFUSED: (N_("The cloud destination did not accept your permission to enter."), ENDED_CLEAN, TELL_ADMIN),
    Reason.MOUNT_FAILED: (N_("Your cloud area could not be opened."), ENDED_CLEAN, TRY_AGAIN),
    Reason.SERVER_FAILED: (N_("The notebook did not start on the compute node."), ENDED_CLEAN, TRY_AGAIN),
    Reason.TIME_UP: (
        N_("The session's time is up."),
        N_("What was already saved on the cloud is safe."),
        N_("You can start a new session."),
    ),
    Reason.OWNER_DOWN: (
        N_("The data owner's side of the cloud destination does not answer, so it would not let you in."),
        ENDED_CLEAN,
        TRY_AGAIN,
    ),
    Reason.OTHER_DESTINATION: (
        N_("You have a session at another cloud destination, and only one destination can be open at a time."),
        NO_TRACE,
        N_("Please end that session and close its pages first, or choose the same destination."),
    ),
    Reason.NOT_GRANTED: (
        N_("The data owner has not granted you access to this cloud destination, or your time there is over."),
        ENDED_CLEAN,
        N_("Please ask the data owner or the administrator."),
    ),
    Reason.REVOKED: (
        N_("The data owner ended this session."),
        ENDED,
        N_("Please ask the data owner or the administrator."),
    ),
    Reason.IDLE: (
        N_("Nothing ran in the session and nobody was there for a long time, so it was ended to free its place."),
        N_("What was already saved on the cloud is safe; what was only in the memory of a notebook is gone."),
        N_("You can start a new session."),
    ),
    Reason.STOPPED: (N_("You ended the session."), ENDED, N_("You can start a new session.")),
    Reason.LEFT: (
        N_("You left the queue before the session began."),
        N_("Nothing was lost."),
        N_("You can ask for a session again whenever you like."),
    ),
    Reason.BY_ADMINISTRATOR: (
        N_("An administrator ended this session."),
        ENDED,
        N_("Please ask the administrator why."),
    ),
    Reason.INTERNAL: (N_("Something went wrong in this service."), NO_TRACE, TELL_ADMIN),
}

UNFIT: dict[Check, str] = {
    Check.NAMESPACES: N_("The compute node does not let a session shut itself off from other programs."),
    Check.MECHANISM: N_("The compute node does not offer the kind of protection that this site requires."),
    Check.FUSE: N_("The compute node does not allow a cloud area to be connected."),
    Check.SSHFS: N_("The program of the compute node that connects your cloud area is not safe enough."),
    Check.SSH: N_("The compute node can't make the encrypted connection that your cloud area needs."),
    Check.TIMEOUTS: N_("The compute node would lose your cloud area during a short interruption of the line."),
    Check.SWAP: N_("The compute node may write images from its memory to its disk."),
    Check.CORES: N_("The compute node keeps what a program was working on when it crashes."),
    Check.CRASHES: N_("The compute node writes words of programs that crash into its own records."),
    Check.SANDBOX: N_("The compute node can't set up the protected area that your images need."),
    Check.WALLS: N_("The protected area on the compute node is not closed."),
    Check.GPU: N_("The GPUs that you asked for can't be used on the compute node."),
    Check.TORCH: N_("The installed software does not support the GPUs of the compute node."),
}
"""What happened, where the node is unfit, by what it lacks."""

DEMONSTRATION = N_("Demonstration: not for patient data")
"""Stands on every page and in the Lab of a site that declares itself a demonstration."""

STEPS: dict[Step, tuple[int, str]] = {
    Step.SUBMITTED: (5, N_("Your request was handed to the computing centre.")),
    Step.QUEUED: (10, N_("Waiting for a compute node.")),
    Step.SCHEDULER_SILENT: (10, N_("The computing centre does not answer just now; your request keeps its place.")),
    Step.RUNNING: (30, N_("A compute node was assigned to you.")),
    Step.PREFLIGHT: (40, N_("The compute node is being checked.")),
    Step.CERTIFICATE: (50, N_("Your permission for the cloud was issued.")),
    Step.MOUNT: (60, N_("Your cloud area is being opened.")),
    Step.SERVER: (75, N_("The notebook is starting.")),
    Step.READY: (95, N_("Everything is ready.")),
}
"""How far along each step is, in percent, and what is said of it."""

WAITING: tuple[tuple[str, str], ...] = (
    ("priority", N_("Others are before you in the queue.")),
    ("resources", N_("All nodes that fit are in use.")),
    ("waitsched", N_("Others are before you in the queue.")),
    ("insuff", N_("All nodes that fit are in use.")),
    ("rscgrpstop", N_("The administrators have paused these nodes.")),
    ("limitexceed", N_("You, or your group, have reached a limit of the computing centre; it goes on when another job ends.")),
    ("reqnodenotavail", N_("The nodes are out of service or reserved just now.")),
    ("partitiondown", N_("The administrators have paused these nodes.")),
    ("partitioninactive", N_("The administrators have paused these nodes.")),
    ("nodedown", N_("The nodes are out of service or reserved just now.")),
    ("reservation", N_("The nodes are out of service or reserved just now.")),
    ("qos", N_("You, or your group, have reached a limit of the computing centre; it goes on when another job ends.")),
    ("assoc", N_("You, or your group, have reached a limit of the computing centre; it goes on when another job ends.")),
    ("jobheld", N_("An administrator holds this request back.")),
    ("begintime", N_("It starts at the time that was set for it.")),
)
"""What a batch system's word for waiting begins with or holds, in lower case, and what it means to a person."""

PLACE = N_("You are number {number} in the queue.")
NEXT = N_("You are the next in the queue.")
EXPECTED = N_("It is expected to start at about {time}.")


def sentence(reason: Reason, language: str, unfit: Check | None = None, told: Callable[[str], str] | None = None) -> str:
    """What happened, what was left, and what to do, in `language`.

    `unfit` is what the node lacks, where that is why; `told` says what happened in a language, where that has numbers in it.
    """
    what, left, todo = (translator(language)(part) for part in SENTENCES[reason])
    if unfit is not None:
        what = translator(language)(UNFIT[unfit])
    return join((what if told is None else told(language), left, todo), language)


def step(note: Note, language: str) -> tuple[int, str]:
    """How far along `note` is, in percent, and its sentences in `language`."""
    tell = translator(language)
    percent, text = STEPS[note.step]
    parts = [tell(text)]
    if note.word:
        parts += [tell(meaning) for meaning in waiting(note.word)]
    if note.before is not None:
        parts.append(tell(PLACE).format(number=note.before + 1) if note.before else tell(NEXT))
    if note.expected is not None:
        parts.append(tell(EXPECTED).format(time=_clock(note.expected, note.time)))
    return percent, join(parts, language)


def waiting(word: str) -> tuple[str, ...]:
    """What the batch system's `word` for waiting means, untranslated; empty where it means nothing to a person."""
    plain = re.sub(r"[^a-z]", "", word[:200].lower())
    return next(((meaning,) for start, meaning in WAITING if start in plain), ())


def _clock(expected: float, now: float) -> str:
    """`expected` as a person would say it: the hour, and the day where it is another than `now`'s."""
    then = dt.datetime.fromtimestamp(expected).astimezone()
    same_day = then.date() == dt.datetime.fromtimestamp(now).astimezone().date()
    return then.strftime("%H:%M" if same_day else "%Y-%m-%d %H:%M")


def join(parts: Iterable[str], language: str) -> str:
    """Sentences one after the other, as `language` writes them."""
    return ("" if language == "ja" else " ").join(parts)
