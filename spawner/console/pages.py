"""The console's pages, in the person's language: what they show comes from the same functions as the REST API.

Every form names one operation of the API; `ActHandler` does it and leads back. No page runs a script.
"""

from __future__ import annotations

import hashlib
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jinja2
import msgspec
from tornado import web

from phrases import LANGUAGES, N_, translator
from spawner import pages as hubpages
from spawner import reasons
from spawner.console import people, plots, records, rules, sessions, shown, usage
from spawner.console.access import ConsoleHandler
from spawner.console.auditfile import AuditQuery
from spawner.console.errors import BROKEN, NOT_KNOWN, NOT_UNDERSTOOD, ConsoleError
from spawner.console.office import Office
from spawner.console.operations import OPERATIONS, PARAMETERS, Asked, Operation
from spawner.hub import AUDIT_READ, QUOTA_READ, QUOTA_WRITE
from spawner.quota import sentences
from spawner.reasons import DEMONSTRATION

HERE = Path(__file__).parent
STATIC = {
    "renkei.css": hubpages.STATIC / "renkei.css",
    "mark.svg": hubpages.STATIC / "mark.svg",
    "console.css": HERE / "static" / "console.css",
}
STAMPS = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for name, path in STATIC.items()}
TYPES = {".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}

MENU = (
    ("", N_("My usage"), None),
    ("sessions", N_("Sessions"), QUOTA_READ),
    ("people", N_("People and groups"), QUOTA_READ),
    ("rules", N_("Rules and exceptions"), QUOTA_READ),
    ("usage", N_("Usage"), QUOTA_READ),
    ("audit", N_("Audit"), AUDIT_READ),
    ("statements", N_("Residue statements"), AUDIT_READ),
    ("nodes", N_("Nodes"), AUDIT_READ),
)
"""Address, title and scope of each page."""

DONE = {
    "endSession": N_("The session is being ended; everything in it is saved first."),
    "extendSession": N_("The session may go on longer; it learns of it within half a minute."),
    "writeToSession": N_("The message will be shown in the session within half a minute."),
    "createGroup": N_("The group was made."),
    "deleteGroup": N_("The group was taken away."),
    "joinGroup": N_("The person was put into the group."),
    "leaveGroup": N_("The person was taken out of the group."),
    "createRule": N_("The rule counts from now on."),
    "changeRule": N_("The rule was changed, and counts from now on."),
    "removeRule": N_("The rule was taken away."),
    "grantException": N_("The exception counts from now on."),
    "endException": N_("The exception has ended."),
}
"""What is said after each act."""

PREVIEWS = {
    "rule": (
        "previewRule", "createRule",
        N_("In the last 30 days this rule would have refused {refused} of {sessions} sessions."),
    ),
    "exception": (
        "previewException", "grantException",
        N_("In the last 30 days this exception would have allowed {refused} of {sessions} sessions that the rule refuses."),
    ),
    "member": (
        "previewMember", "joinGroup",
        N_("In the last 30 days the group's rules would have refused {refused} of this person's {sessions} sessions."),
    ),
}  # fmt: skip
"""What is previewed: the operation that looks, the one that acts, and the sentence between."""

LISTS = {"destinations"}
"""Fields that a form may send more than once."""

BY_ID = {each.id: each for each in OPERATIONS}

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"), undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True
)


@jinja2.pass_context
def _moment(context: jinja2.runtime.Context, when: float | str | None) -> str:
    return shown.moment(when, context["zone"])


_TEMPLATES.filters.update(moment=_moment, number=shown.number, share=shown.share)


class PageHandler(ConsoleHandler):
    """One page, for whoever has its scope; without a login the hub's comes first."""

    page: str = ""

    async def prepare(self) -> None:
        """Find out who asks. A form whose page was open for too long is told so, and not led to a login that would lose it."""
        caller = await self.ask_hub()
        if caller is not None:
            self.caller = caller
        elif self.request.method == "GET":
            self.redirect(self.get_login_url())
        else:
            raise ConsoleError(403, NOT_KNOWN)

    @property
    def prefix(self) -> str:
        """Where the console is."""
        return str(self.hub_auth.base_url)

    @property
    def lang(self) -> str:
        """The language of this page."""
        return hubpages.chosen(self) or self.office.site.hub.default_language

    def show(self, template: str, **values: object) -> None:
        """Answer with `template`."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(_TEMPLATES.get_template(template).render(**self._words(), **values))

    def _words(self) -> dict[str, Any]:
        tell = translator(self.lang)
        caller = getattr(self, "caller", None)
        host = self.hub_auth.hub_host
        here = quote(self.request.uri or "", safe="")
        return {
            "_": lambda text: tell(text) if text else "",
            "lang": self.lang,
            "prefix": self.prefix,
            "page": self.page,
            "caller": caller.name if caller else "",
            "may_write": caller is not None and caller.may(QUOTA_WRITE),
            "menu": [(path, title) for path, title, scope in MENU if caller and (scope is None or caller.may(scope))],
            "xsrf": (self.xsrf_token or b"").decode() if caller else "",
            "site_title": self.office.site.hub.title.text(self.lang),
            "demonstration": DEMONSTRATION if self.office.site.hub.demonstration else "",
            "other_languages": [
                (each, hubpages.NAMES[each], f"{self.prefix}lang/{each}?next={here}") for each in LANGUAGES if each != self.lang
            ],
            "asset": lambda name: f"{self.prefix}static/{name}?v={STAMPS[name]}",
            "home": f"{host}{self.hub_auth.hub_prefix}home",
            "logout": f"{host}{self.hub_auth.hub_prefix}logout",
            "done": DONE.get(self.get_query_argument("done", ""), ""),
            "words": shown.WORDS,
            "said": self.said,
            "zone": self.office.ledger.zone,
        }

    def said(self, rule: rules.RuleWish) -> str:
        """A rule in words."""
        site = self.office.site
        labels = {group.name: group.label.text(self.lang) for group in site.resource_group}
        labels |= {each.name: each.label.text(self.lang) for each in site.destination}
        known = rules.rule_of(rule)
        return f"{sentences.whom(known, self.lang)}: {sentences.limit(known, self.lang, labels)}"

    def write_error(self, status_code: int, **kwargs: Any) -> None:  # noqa: ANN401  (tornado's signature)
        """A page with one sentence."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        other = BROKEN if status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else NOT_UNDERSTOOD
        sentence = error.sentence if isinstance(error, ConsoleError) else other
        self.show("problem.html", status=status_code, sentence=sentence)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:  # noqa: ANN401  (tornado's signature)
        """What a person reads a sentence of is no fault of the program's."""
        if isinstance(value, ConsoleError):
            self.office.log.warning("%s %s: %s", self.request.method, self.request.path, value)
        else:
            super().log_exception(typ, value, tb)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:  # noqa: ANN401  (tornado's signature)
        """With the status that the error names."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, ConsoleError) else status_code, **kwargs)

    def parsed(self, kind: Any) -> Any:  # noqa: ANN401  (a type, and a value of it)
        """The query as a `kind`; what is left empty in a form is left out."""
        given = {name: self.get_query_argument(name) for name in self.request.query_arguments if name not in {"done", "_xsrf"}}
        try:
            return msgspec.convert({name: value for name, value in given.items() if value}, kind, strict=False)
        except msgspec.ValidationError as error:
            raise ConsoleError(400, NOT_UNDERSTOOD, str(error)) from error


class OwnHandler(PageHandler):
    """For everybody: my sessions, my usage and what is left."""

    async def get(self) -> None:
        """Show it."""
        own = await usage.own(self.office, self.caller)
        self.show("own.html", own=own, plot=_plot(own.days))


class SessionsHandler(PageHandler):
    """Who runs what and waits for what."""

    page = "sessions"

    async def get(self) -> None:
        """Show it."""
        self.demand(QUOTA_READ)
        self.show("sessions.html", sessions=(await sessions.current(self.office)).sessions, waiting=reasons.waiting)


class PeopleHandler(PageHandler):
    """People and groups."""

    page = "people"

    async def get(self) -> None:
        """Show it."""
        self.demand(QUOTA_READ)
        everybody = await people.people(self.office, self.caller)
        groups = await people.groups(self.office, self.caller)
        self.show("people.html", people=everybody.people, groups=groups.groups)


class RulesHandler(PageHandler):
    """Rules and exceptions."""

    page = "rules"

    async def get(self) -> None:
        """Show them; with `edit=NUMBER` that rule stands in the form."""
        self.demand(QUOTA_READ)
        found = (await rules.rules(self.office)).rules
        wanted = self.get_query_argument("edit", "")
        draft = next(({**msgspec.to_builtins(each), "number": each.id} for each in found if str(each.id) == wanted), {})
        names = [person.name for person in (await people.people(self.office, self.caller)).people]
        groups = [group.name for group in (await people.groups(self.office, self.caller)).groups]
        self.show(
            "rules.html",
            rules=found,
            exceptions=(await rules.exceptions(self.office)).exceptions,
            draft=draft,
            people=names,
            names=[*groups, *names],
            scopes=shown.SCOPES,
            kinds=shown.KINDS,
            windows=shown.WINDOWS,
            resource_groups=self.office.site.resource_group,
            destinations=self.office.site.destination,
        )


class UsageHandler(PageHandler):
    """Usage by person, group, resource group."""

    page = "usage"

    async def get(self) -> None:
        """Show it."""
        self.demand(QUOTA_READ)
        query = self.parsed(usage.UsageQuery)
        found = await usage.table(self.office, query)
        largest = max((row.gpu_hours for row in found.rows), default=0.0)
        self.show("usage.html", found=found, query=query, largest=largest, plot=_plot(found.days), kinds=shown.SUMS)


class CsvHandler(PageHandler):
    """The same for a spreadsheet."""

    async def get(self) -> None:
        """Answer it as a file."""
        self.demand(QUOTA_READ)
        query = self.parsed(usage.UsageQuery)
        found = await usage.table(self.office, query)
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", f'attachment; filename="usage-{query.by}-{query.days}.csv"')
        self.finish("\ufeff" + usage.as_csv(found))  # the mark tells a spreadsheet that it is UTF-8


class AuditHandler(PageHandler):
    """Lines of the audit."""

    page = "audit"

    async def get(self) -> None:
        """Show it."""
        self.demand(AUDIT_READ)
        query = self.parsed(AuditQuery)
        self.show("audit.html", found=await records.audit(self.office, query), query=query)


class StatementsHandler(PageHandler):
    """Residue statements."""

    page = "statements"

    async def get(self) -> None:
        """Show it."""
        self.demand(AUDIT_READ)
        self.show("statements.html", statements=(await records.statements(self.office)).statements)


class NodesHandler(PageHandler):
    """What preflights found."""

    page = "nodes"

    async def get(self) -> None:
        """Show it."""
        self.demand(AUDIT_READ)
        python = self.office.site.node.python
        self.show("nodes.html", findings=(await records.nodes(self.office)).findings, python=python)


class FormHandler(PageHandler):
    """What a form of ours sends, as an operation of the API is asked."""

    def asked(self, operation: Operation) -> Asked:
        """The form's fields as what `operation` takes. Raises ConsoleError."""
        given = self.fields()
        path = {}
        for name in re.findall(r"\{([a-z]+)\}", operation.path):
            path[name] = (given.pop(name, None) or [""])[0]
            if not re.fullmatch(PARAMETERS[name], path[name]):
                raise ConsoleError(400, NOT_UNDERSTOOD, f"{name} is {path[name]!a:.100}")
        if operation.body is None:
            return Asked(path=path, query=None, body=None)
        fields = {name: values if name in LISTS else values[0] for name, values in given.items() if values != [""]}
        try:
            return Asked(path=path, query=None, body=msgspec.convert(fields, operation.body, strict=False))
        except msgspec.ValidationError as error:
            raise ConsoleError(400, NOT_UNDERSTOOD, str(error)) from error

    def fields(self) -> dict[str, list[str]]:
        """The form's own fields."""
        return {name: self.get_body_arguments(name) for name in self.request.body_arguments if name not in {"back", "_xsrf"}}


class ActHandler(FormHandler):
    """Does the operation that a form names, and leads back to the page that it stood on."""

    async def post(self, name: str) -> None:
        """Do it."""
        operation = BY_ID.get(name)
        if operation is None or name not in DONE:
            raise ConsoleError(404, NOT_UNDERSTOOD)
        self.demand(operation.scope)
        await operation.run(self.office, self.caller, self.asked(operation))
        back = self.get_body_argument("back", "")
        known = back if back in {path for path, _, _ in MENU} else ""
        self.redirect(f"{self.prefix}{known}?{urlencode({'done': name})}", status=303)


class PreviewHandler(FormHandler):
    """What a rule, an exception or a place in a group would have meant for the last month; a button makes it count."""

    page = "rules"

    async def post(self, kind: str) -> None:
        """Show it."""
        look, act, summary = PREVIEWS[kind]
        if kind == "rule" and self.get_body_argument("number", ""):
            act = "changeRule"
        fields = [(name, value) for name, values in self.fields().items() for value in values]
        # The number is the deed's, not the preview's.
        self.request.body_arguments.pop("number", None)
        operation = BY_ID[look]
        self.demand(operation.scope)
        asked = self.asked(operation)
        found = await operation.run(self.office, self.caller, asked)
        self.page = "people" if kind == "member" else "rules"
        what = self.said(asked.body) if kind == "rule" else " · ".join(value for _, value in fields if value)
        self.show("preview.html", preview=found, operation=act, fields=fields, summary=summary, what=what)


class LanguageHandler(PageHandler):
    """Remember the language and go back; the cookie is the same as the hub's."""

    async def prepare(self) -> None:
        """Nobody needs to be known for it."""

    def get(self, wish: str) -> None:
        """Set the cookie."""
        secure = self.request.protocol == "https"
        days = hubpages.COOKIE_DAYS
        self.set_cookie(hubpages.COOKIE, wish, path="/", expires_days=days, httponly=True, samesite="Lax", secure=secure)
        self.redirect(hubpages.local_path(self.get_query_argument("next", ""), self.prefix))


class AssetHandler(ConsoleHandler):
    """Style and mark: the hub's own too, because with a subdomain the console is another origin."""

    def get(self, name: str) -> None:
        """Answer it; its address changes with it."""
        path = STATIC.get(name)
        if path is None:
            raise web.HTTPError(404)
        self.set_header("Content-Type", TYPES[path.suffix])
        self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        self.finish(path.read_bytes())


class MissingHandler(PageHandler):
    """There is no such page."""

    async def prepare(self) -> None:
        """Say so, to everybody."""
        raise ConsoleError(HTTPStatus.NOT_FOUND, hubpages.SENTENCES[404])


def routes(prefix: str, office: Office) -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The pages' routes below `prefix`."""
    here = re.escape(prefix)
    handlers = {
        "": OwnHandler,
        "sessions": SessionsHandler,
        "people": PeopleHandler,
        "rules": RulesHandler,
        "usage": UsageHandler,
        "usage\\.csv": CsvHandler,
        "audit": AuditHandler,
        "statements": StatementsHandler,
        "nodes": NodesHandler,
        "act/([a-zA-Z]{1,40})": ActHandler,
        "preview/(rule|exception|member)": PreviewHandler,
        "lang/(ja|en)": LanguageHandler,
        "static/([a-z.]{1,40})": AssetHandler,
    }
    return [(f"{here}{path}", handler, {"office": office}) for path, handler in handlers.items()]


def _plot(days: tuple[usage.DayUse, ...]) -> plots.Plot:
    return plots.columns([each.gpu_hours for each in days], [f"{each.day.month}/{each.day.day}" for each in days])
