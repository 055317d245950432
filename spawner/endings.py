"""How the last session under a name ended: kept for the person who asks after it, and told in their language."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from enclave.messages import Check, Reason
from phrases import N_, translator
from spawner import lastwords, reasons
from spawner.sessions import Saved, Session, State

KEPT = 5000
"""Ends that are kept in memory; of more, the oldest are forgotten."""

SAVED = N_("What was already saved on the cloud is safe; what was only in the memory of a notebook is gone.")
"""Whoever ends a session, and however: the notebook's memory goes with it."""
STARTABLE = N_("You can start a new session.")
STILL_ENDED = N_("It has ended. What you saved is in your cloud area.")
"""Where nobody knows any more how."""

RAN: dict[Reason | None, tuple[str, str]] = {
    None: (N_("The session has ended."), STARTABLE),
    Reason.STOPPED: (N_("You ended the session."), STARTABLE),
    Reason.BY_ADMINISTRATOR: (N_("An administrator ended this session."), N_("Please ask the administrator why.")),
    Reason.CANCELLED: (N_("The computing centre ended this session."), STARTABLE),
    Reason.TIME_UP: (N_("The session's time is up."), STARTABLE),
    Reason.IDLE: (reasons.SENTENCES[Reason.IDLE][0], STARTABLE),
    Reason.NODE_LOST: (N_("The compute node stopped working."), N_("Please start again; you will get another node.")),
    Reason.REVOKED: (N_("The data owner ended this session."), N_("Please ask the data owner or the administrator.")),
    Reason.NOT_GRANTED: (
        N_("The data owner has withdrawn your access to this cloud destination, or your time there is over."),
        N_("Please ask the data owner or the administrator."),
    ),
    Reason.MOUNT_FAILED: (N_("The connection to your cloud area broke and could not be mended."), reasons.TRY_AGAIN),
    Reason.SERVER_FAILED: (N_("The notebook stopped on the compute node."), reasons.TRY_AGAIN),
    Reason.JOB_DIED: (N_("The session broke off on the compute node."), reasons.TRY_AGAIN),
}
"""What happened to a session that had been ready, and what to do."""


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How one session ended."""

    session: str
    at: float
    """Seconds since the epoch."""
    reason: Reason | None
    ran: bool
    """Its notebook had answered."""
    unfit: Check | None = None
    words: tuple[str, ...] = ()
    """The last lines about it, as far as a page may show them."""

    def told(self, language: str) -> str:
        """What happened, what was lost, and what to do."""
        if not self.ran:
            return reasons.sentence(self.reason, language, self.unfit) if self.reason else translator(language)(STILL_ENDED)
        known = RAN.get(self.reason)
        what, todo = known if known is not None else (reasons.SENTENCES[self.reason or Reason.INTERNAL][0], reasons.TELL_ADMIN)
        return reasons.join(map(translator(language), (what, SAVED, todo)), language)

    @property
    def expected(self) -> bool:
        """The person themselves wanted it: nothing to be alarmed about."""
        return self.reason in {None, Reason.STOPPED, Reason.LEFT}


class Endings:
    """The last end under each person's name for a session."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Ending] = {}

    def remember(self, session: Session, reason: Reason | None) -> Ending:
        """`session` has ended for `reason`; the last lines about it are written down with it."""
        # What a hub process before this one heard is only in the record.
        session.saved.words = lastwords.shown("\n".join(session.heard)) or session.saved.words
        session.keep()
        ending = Ending(
            session=session.id,
            at=time.time(),
            reason=reason,
            ran=session.was_ready,
            unfit=session.unfit,
            words=session.saved.words,
        )
        self._keep(session.saved, ending)
        return ending

    def recall(self, ended: Iterable[Saved]) -> None:
        """What the record says of sessions that `ended` before this process, oldest first: why, and the last lines about it."""
        for saved in ended:
            at, ran = saved.times.get(State.ENDED, 0.0), State.RUNNING in saved.times
            self._keep(saved, Ending(session=saved.id, at=at, reason=saved.reason, ran=ran, words=saved.words))

    def _keep(self, saved: Saved, ending: Ending) -> None:
        self._last.pop((saved.user, saved.server), None)
        self._last[saved.user, saved.server] = ending
        while len(self._last) > KEPT:
            del self._last[next(iter(self._last))]

    def last(self, user: str, server: str) -> Ending | None:
        """How the last session that `user` called `server` ended, if one did and it is still known."""
        return self._last.get((user, server))
