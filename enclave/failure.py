"""What goes wrong in a session, as one exception that carries what hub and administrator need."""

from __future__ import annotations

from enclave.messages import Reason


class SessionFailure(Exception):  # noqa: N818  (an outcome of the session, reported by its reason)
    """The session can't come to be, or can't go on.

    `reason` becomes the sentence that the person reads; `detail` is for the administrator's log, and holds no file name of a
    person's, no key and no token.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail[:2000]


class MechanismFailure(SessionFailure):
    """The node lacks what the session's mechanism needs."""

    def __init__(self, detail: str) -> None:
        super().__init__(Reason.SANDBOX_IMPOSSIBLE, detail)
