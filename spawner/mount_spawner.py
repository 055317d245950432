"""JupyterHub's verbs for a session on a compute node with the person's cloud area mounted.

Of batchspawner we keep traits, state and templating. Its command runner is a shell and its API route sets attributes: neither
can be reached here.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import ssl
import sys
from collections.abc import AsyncIterator
from logging import Logger
from typing import Any, ClassVar
from urllib.parse import quote

import jupyterhub.apihandlers
import msgspec
from batchspawner import BatchSpawnerBase
from batchspawner.api import BatchSpawnerAPIHandler
from jupyterhub.app import JupyterHub
from jupyterhub.handlers import BaseHandler
from jupyterhub.spawner import SpawnException
from jupyterhub.user import User
from jupyterhub.utils import make_ssl_context
from prometheus_client import REGISTRY
from sqlalchemy.orm import object_session
from tornado.httputil import url_concat
from traitlets import Instance, validate
from traitlets.config import Config

from enclave.messages import Check, Reason
from phrases import N_, translator
from spawner import form, hubacts, options, pages, reasons, waiting
from spawner.desk import GOODBYE_S, Desk
from spawner.endings import Ending
from spawner.launch import FailureError, Person, Told, cloud_accounts, living_at, prepare, submit, until_ready
from spawner.metrics import Board
from spawner.resume import resume
from spawner.schedulers.base import JobState
from spawner.sessions import Session, State
from spawner.site import Site
from spawner.store.database import DatabaseDownError
from spawner.turns import Turns

# Importing batchspawner adds its route to every hub: it lets a session's token set attributes of the spawner.
jupyterhub.apihandlers.default_handlers[:] = [
    route for route in jupyterhub.apihandlers.default_handlers if route[1] is not BatchSpawnerAPIHandler
]

STATUS = {
    Reason.BAD_OPTIONS: 400,
    Reason.NO_CLOUD_ACCOUNT: 403,
    Reason.NO_UNIX_ACCOUNT: 403,
    Reason.NOT_PERMITTED: 403,
    Reason.NOT_GRANTED: 403,
    Reason.OTHER_DESTINATION: 403,
    Reason.QUOTA: 403,
}
"""HTTP status of a start that fails; 503 for every other reason."""

ANSWER_S = 10.0
"""Seconds for which a session from before the hub's start is given to answer once; it is asked again."""
READY = N_("Your session is ready.")
SPARE_S = 120
"""Seconds that JupyterHub's own limit for a start is above the sum of ours, so that ours, which know why, come first."""


class NoSessionError(SpawnException):
    """There is no session; carries the person's sentence for every place where JupyterHub shows an error."""

    def __init__(
        self,
        reason: Reason,
        language: str,
        text: str,
        *,
        unfit: Check | None = None,
        told: Told | None = None,
        ending: Ending | None = None,
    ) -> None:
        self.told = functools.partial(reasons.sentence, reason, unfit=unfit, told=told)
        """The sentence in a language: who reads the page may have changed it since."""
        self.ending = ending
        """How its session ended, where there was one."""
        sentence = self.told(language)
        super().__init__(sentence, reason=reason.value, log_message=f"{reason}: {text}", status_code=STATUS.get(reason, 503))
        self.jupyterhub_message = sentence
        self.jupyterhub_html_message = html.escape(sentence)


class _Kept(msgspec.Struct, frozen=True):
    """What JupyterHub's own database says of a server's session."""

    id: str
    account: str
    uid: int


class MountSpawner(BatchSpawnerBase):
    """One person's session; everything that sessions share is the `Desk`."""

    site = Instance(Site, help="The site file.").tag(config=True)
    server: Any
    """JupyterHub's record of where the session answers; None while there is none."""
    _desk: ClassVar[Desk | None] = None
    _session: Session | None = None
    ended_by: Reason | None = None
    """Who asked for its end, once somebody has."""
    _adopted = False
    """Whether its session is from before the hub was restarted, and was not seen to answer since."""
    _asked = Instance(asyncio.Event, (), help="Set once the current start has its session, or has failed before it.")

    @validate("oauth_client_id")
    def _client_of_its_own(self, proposal: Any) -> str:  # noqa: ANN401  (traitlets')
        """JupyterHub's name of the server as a client; joined by a sign that no person's name can have.

        By a hyphen, tanaka's session `x` would be the first one of tanaka-x: a start of either, also a refused one, would shut the
        other's door.
        """
        named = f"-{quote(self.name)}" if self.name else ""
        first = str(proposal.value)
        return f"{first.removesuffix(named)}.{quote(self.name)}" if named and first.endswith(named) else first

    @property
    def desk(self) -> Desk:
        """The hub process's one desk, listening."""
        return self.open_desk(self.site, self.log, self.internal_certs_location, self.internal_trust_bundles)

    @classmethod
    def open_desk(cls, site: Site, log: Logger, certificates: str, trust: dict[str, str]) -> Desk:
        """The desk, made and opened where there is none. Raises like `Desk.open`."""
        if MountSpawner._desk is None:
            desk = MountSpawner._desk = Desk(site, log)
            REGISTRY.register(Board(desk))
            desk.adoption.resume = functools.partial(resume, log=log)
            hubacts.watch(desk.audit, log)
        MountSpawner._desk.open(certificates, trust["notebooks-ca"])
        return MountSpawner._desk

    @property
    def session(self) -> Session | None:
        """What it is about, from the wish on; in a hub's first moments what the one before it left waiting."""
        if self._session is not None or MountSpawner._desk is None:
            return self._session
        return MountSpawner._desk.adoption.waits(self.user.name, self.name)

    @property
    def last_end(self) -> Ending | None:
        """How the last session of this person and this name ended."""
        return _last_end(self.user.name, self.name)

    @property
    def language(self) -> str:
        """The language of whoever asks: the page's, else the one of the options, else the site's."""
        remembered = options.language_of(self.user_options, self.site.hub.default_language)
        return pages.language(self.handler, remembered) if self.handler is not None else remembered

    async def get_options_form(self) -> str:
        """The form's fields as HTML: only what can work for this person."""
        language = self.language
        try:
            accounts = await cloud_accounts(self.desk, self.user.name)
        except FailureError as error:
            raise NoSessionError(error.reason, language, str(error)) from error
        living = living_at(self.desk, self.user.name)
        possible = [each for each in accounts if each.destination in living or not living]
        choices, person = options.choices(self.site, possible), self._person
        try:
            return await form.make(self.desk, choices, person, remembered=self._last_choice, language=language)
        except DatabaseDownError as error:
            raise NoSessionError(Reason.DATABASE_DOWN, language, str(error)) from error

    @property
    def _person(self) -> Person:
        return Person(self.user.name, tuple(group.name for group in self.user.groups))

    @property
    def _last_choice(self) -> object:
        """The options of this server's last start, else of the one of the person's servers that was started last."""
        mine = self.orm_spawner.user_options
        if mine:
            return mine
        others = [each for each in self.user.orm_user.orm_spawners.values() if each.user_options]
        return max(others, key=lambda each: str(each.started or ""), default=self.orm_spawner).user_options

    def run_options_from_form(self, form_data: dict[str, list[Any]]) -> dict[str, object]:
        """The form's data as plain options; `start` checks them, as it checks those of the REST API."""
        return options.from_form(form_data)

    def options_from_query(self, query_data: dict[str, list[Any]]) -> dict[str, object]:
        """Refused: a link on somebody else's page must not start a session. The form is shown instead."""
        raise NoSessionError(Reason.BAD_OPTIONS, self.language, f"a link that carries options: {sorted(query_data)!a:.200}")

    async def create_certs(self) -> dict[str, str]:
        """Nothing: the job makes its own key, and the call-back signs it in memory."""
        return {}

    async def move_certs(self, paths: dict[str, str]) -> dict[str, str]:
        """Nothing to move."""
        return paths

    async def start(self) -> tuple[str, int]:
        """Submit the session's job and wait until its notebook answers; (address, port) of its doorway."""
        wish = self.user_options
        language = options.language_of(wish, self.language)
        if isinstance(wish, dict) and "language" not in wish:
            wish = {**wish, "language": language}
        try:
            person = self._person
            self._session = await prepare(self.desk, person, self.name, wish, self._environment)
            self._asked.set()
            self._save()
            await submit(self.desk, self._session)
            self._save()
            self.ip, self.port = await until_ready(self.desk, self._session)
        except FailureError as error:
            if self._session is None:
                self.desk.refused(self.user.name, error.reason)
            ending = await self._give_up(error.reason, str(error))
            raise NoSessionError(error.reason, language, str(error), unfit=error.unfit, told=error.told, ending=ending) from error
        except asyncio.CancelledError:
            # Either the hub ends, and its successor finds the job by the saved state, or JupyterHub calls `stop` next.
            self._save()
            raise
        except Exception as error:
            self.log.exception("The start of %s's session failed", self.user.name)
            ending = await self._give_up(Reason.INTERNAL, repr(error))
            raise NoSessionError(Reason.INTERNAL, language, str(error), ending=ending) from error
        finally:
            self._asked.set()
        return self.ip, self.port

    async def poll(self) -> int | None:
        """None while the session lives or nobody can tell; 0 when there is none, 1 when its job has ended."""
        session = self._session
        if session is not None and self._adopted:
            await self._take_up(session)
        if session is None or session.closed:
            return 0
        if not session.saved.job:
            return None
        status = self.desk.watcher.status(session.saved.job)
        if status.state is JobState.UNKNOWN and not self.desk.watcher.failing:
            status = await self.desk.watcher.look(session.saved.job)
        if status.state is not JobState.ENDED:
            return None
        known = session.told_to_end or (session.failure[0] if session.failure else session.own_reason or status.ending)
        self.desk.close_session(session, known)
        return 1

    async def stop(self, now: bool = False) -> None:  # noqa: FBT001, FBT002  (JupyterHub's signature)
        """End the job, and wait until the batch system agrees; with `now`, only tell it."""
        if self._session is not None and not self._session.closed:
            # Nobody asked: JupyterHub ends what does not answer.
            reason = self.ended_by or Reason.SERVER_FAILED
            await self.desk.end(self._session, reason, wait_s=0.0 if now else GOODBYE_S)

    async def progress(self) -> AsyncIterator[dict[str, object]]:
        """What the waiting page shows: the session's own notes, as they come."""
        await self._asked.wait()
        session = self._session
        if session is None:
            return
        language = session.saved.request.language
        async for note in session.told():
            yield waiting.event(note, language)

    async def _generate_progress(self) -> AsyncIterator[dict[str, object]]:
        """JupyterHub's wrapper would begin with a sentence of its own, in English."""
        if self._spawn_pending:
            async for event in self.progress():
                yield event

    def get_state(self) -> dict[str, Any]:
        """What a restarted hub needs to know which session is this server's; all else is in the session's record."""
        state: dict[str, Any] = super().get_state()
        if self._session is not None and not self._session.closed:
            saved = self._session.saved
            state["session"] = {"id": saved.id, "account": saved.account, "uid": saved.uid}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Claim the session that was there before the hub was restarted. One that waits is taken up by a start instead."""
        super().load_state(state)
        if "session" not in state:
            return
        kept = msgspec.convert(state["session"], _Kept)
        session = self.desk.sessions.find(kept.id)
        if session is None:
            # By the record it is over, or there is no record of it: then nobody can go on with it.
            self.desk.adoption.disown(kept.id, kept.account, kept.uid)
        elif not session.waiting:
            self._session, self._adopted, session.claimed = session, not session.claimed, True
        elif not session.claimed:
            # Else JupyterHub would find its server gone, say so, and stop it, while the next start has yet to take it up.
            self.server = None

    async def _take_up(self, session: Session) -> None:
        """Wait until a session from before the hub was restarted answers or is over, however long the way to its node is cut.

        JupyterHub would end a server that does not answer within half a minute of the hub's start.
        """
        if session.saved.state is State.STARTING:
            try:
                await until_ready(self.desk, session)
            except FailureError as error:
                await self._give_up(error.reason, str(error))
        if self.server is not None and session.saved.port:
            self.server.proto, self.server.ip, self.server.port = "https", session.saved.address, session.saved.port
        while not session.closed and self.desk.watcher.status(session.saved.job).state is not JobState.ENDED:
            try:
                await self.server.wait_up(http=True, timeout=ANSWER_S, ssl_context=self._context(), extra_path="api")
            except Exception as error:  # noqa: BLE001  (whatever it is, it does not answer)
                self.log.warning("Session %s of %s does not answer yet: %r", session.id, self.user.name, error)
                await session.changed(1.0)
            else:
                break
        self._adopted = False

    def _context(self) -> ssl.SSLContext:
        settings = self.user.settings
        context: ssl.SSLContext = make_ssl_context(
            settings["internal_ssl_key"], settings["internal_ssl_cert"], cafile=settings["internal_ssl_ca"]
        )
        return context

    def clear_state(self) -> None:
        """Forget the session."""
        super().clear_state()
        self._session, self._adopted, self.ended_by = None, False, None
        self._asked = asyncio.Event()

    def _environment(self, address: str, port: int) -> dict[str, str]:
        """JupyterHub's variables for a server that is reached at `address` and `port`."""
        self.ip, self.port = address, port
        return {name: str(value) for name, value in self.get_env().items() if name.startswith("JUPYTERHUB_")}

    async def _give_up(self, reason: Reason, text: str) -> Ending | None:
        if self._session is None:
            return None
        self._session.hear(text)
        await self.desk.end(self._session, reason)
        return self.last_end

    def _save(self) -> None:
        """JupyterHub saves state when a start is over; a job in the queue must survive a restart before that."""
        if self._session is not None:
            self.job_id = self._session.saved.job
        self.orm_spawner.state = self.get_state()
        session = object_session(self.orm_spawner)
        if session is not None:
            session.commit()

    def _removed(self, *_: object, **__: object) -> None:
        """Stands where batchspawner would run a shell."""
        raise RuntimeError("batchspawner's own commands are not used here")

    run_command = submit_batch_script = query_job_status = cancel_batch_job = _get_batch_script = _removed


def configure(c: Config, site: Site) -> None:
    """Set `c` so that every server of the hub is a session on the site's nodes."""
    limits = site.scheduler
    _know_who_ends()
    pages.teach(lambda handler: {"last_end": _last_end, "taken_up_at": functools.partial(_taken_up_at, handler)})
    c.JupyterHub.spawner_class = MountSpawner
    c.MountSpawner.site = site
    c.MountSpawner.start_timeout = round(limits.queue_timeout + limits.start_timeout) + SPARE_S
    c.MountSpawner.http_timeout = 30
    c.MountSpawner.poll_interval = 10
    c.MountSpawner.default_url = "/lab"
    c.MountSpawner.apply_user_options = _checked_later
    c.MountSpawner.progress_ready_hook = _ready
    turns = Turns()

    async def scopes(_spawner: MountSpawner) -> list[str]:
        # JupyterHub asks this before its own work for a start, and waits for the answer.
        await turns.wait()
        # The server reports its activity with it and no more: the doorway keeps it from the notebook all the same.
        return ["users:activity!user"]

    c.MountSpawner.server_token_scopes = scopes
    # JupyterHub has no hook for its start; the file is read in its loop, which comes to this when the hub's certificates are made.
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop().call_soon(_begin, site)


def _begin(site: Site) -> None:
    """Know every session before the first question, whatever JupyterHub remembers."""
    # Also its verbs, `upgrade-db` say, read the file, and begin no hub.
    if not JupyterHub.initialized():
        return
    app = JupyterHub.instance()
    try:
        MountSpawner.open_desk(site, app.log, app.internal_certs_location, app.internal_trust_bundles)
    except (DatabaseDownError, OSError) as error:
        sys.exit(f"The hub can't know its sessions, which go on without it: {error}")


def _last_end(user: str, server: str) -> Ending | None:
    """How the last session that `user` called `server` ended, for a page."""
    return None if MountSpawner._desk is None else MountSpawner._desk.endings.last(user, server)


def _taken_up_at(handler: BaseHandler, user: User, server: str) -> str:
    """Where a page is told of the session that waits, since before the hub's start, for a start of `server`; "" where none does."""
    if MountSpawner._desk is None or MountSpawner._desk.adoption.waits(user.name, server) is None:
        return ""
    return str(url_concat(user.progress_url(server), {"_xsrf": handler.xsrf_token.decode("ascii")}))


def _know_who_ends() -> None:
    """Let a spawner know who asked for its end: JupyterHub tells it to stop, and not why."""
    original = BaseHandler.stop_single_user

    async def stop_single_user(self: BaseHandler, user: User, server_name: str = "") -> object:
        spawner = user.spawners.get(server_name)
        if isinstance(spawner, MountSpawner):
            ready = spawner.session is not None and spawner.session.was_ready
            theirs = Reason.STOPPED if ready else Reason.LEFT
            spawner.ended_by = theirs if self.current_user is user else Reason.BY_ADMINISTRATOR
        return await original(self, user, server_name)

    BaseHandler.stop_single_user = stop_single_user


def _checked_later(_spawner: MountSpawner, _options: object) -> None:
    """Options take effect in `start`, which checks them; nothing of them is ever applied to a trait."""


def _ready(spawner: MountSpawner, event: dict[str, object]) -> dict[str, object]:
    """The last event of the waiting page, in the person's language."""
    if spawner.session is None or not spawner.session.was_ready:
        # JupyterHub takes a start that was broken off for ready until, a second later, it stops it.
        return {"progress": 0}
    message = translator(spawner.language)(READY)
    return {**event, "message": message, "html_message": html.escape(message)}
