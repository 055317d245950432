"""Every operation of the REST API, once: the handlers serve this table, and the OpenAPI document describes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from spawner.console import people, records, rules, sessions, usage
from spawner.console.access import Caller
from spawner.console.auditfile import AuditPage, AuditQuery
from spawner.console.hubapi import HubGroup
from spawner.console.office import Office
from spawner.hub import AUDIT_READ, QUOTA_READ, QUOTA_WRITE

SESSION = r"[a-z0-9]{16}"
PARAMETERS = {"session": SESSION, "group": people.GROUP, "person": people.PERSON, "number": r"[1-9][0-9]{0,8}"}
"""What may stand in an address, by the name of the place; anything else is no address."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One call, parsed: what stands in the address, after it, and in the body."""

    path: Mapping[str, str]
    query: Any
    body: Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address. `answer` None: 204, nothing."""

    id: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    summary: str
    scope: str | None
    answer: Any
    run: Callable[[Office, Caller, Asked], Awaitable[Any]]
    query: Any = None
    body: Any = None


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "listSessions", "GET", "/sessions", "Who runs what and waits for what", QUOTA_READ, sessions.SessionList,
        lambda office, _caller, _asked: sessions.current(office),
    ),
    Operation(
        "endSession", "POST", "/sessions/{session}/end", "End a session", QUOTA_WRITE, sessions.Accepted,
        lambda office, caller, asked: sessions.end(office, caller, asked.path["session"]),
    ),
    Operation(
        "extendSession", "POST", "/sessions/{session}/extend", "Give a session more time", QUOTA_WRITE, sessions.Accepted,
        lambda office, caller, asked: sessions.extend(office, caller, asked.path["session"], asked.body),
        body=sessions.Extension,
    ),
    Operation(
        "writeToSession", "POST", "/sessions/{session}/message", "Show a sentence in a session", QUOTA_WRITE, sessions.Accepted,
        lambda office, caller, asked: sessions.write(office, caller, asked.path["session"], asked.body),
        body=sessions.Message,
    ),
    Operation(
        "listPeople", "GET", "/people", "Everybody whom the hub knows", QUOTA_READ, people.PeopleList,
        lambda office, caller, _asked: people.people(office, caller),
    ),
    Operation(
        "listGroups", "GET", "/groups", "Every group", QUOTA_READ, people.GroupList,
        lambda office, caller, _asked: people.groups(office, caller),
    ),
    Operation(
        "createGroup", "POST", "/groups", "Make a group", QUOTA_WRITE, HubGroup,
        lambda office, caller, asked: people.create(office, caller, asked.body), body=people.GroupWish,
    ),
    Operation(
        "deleteGroup", "DELETE", "/groups/{group}", "Take a group away", QUOTA_WRITE, None,
        lambda office, caller, asked: people.delete(office, caller, asked.path["group"]),
    ),
    Operation(
        "joinGroup", "POST", "/groups/{group}/people", "Put somebody into a group", QUOTA_WRITE, HubGroup,
        lambda office, caller, asked: people.join(office, caller, asked.path["group"], asked.body), body=people.Member,
    ),
    Operation(
        "leaveGroup", "DELETE", "/groups/{group}/people/{person}", "Take somebody out of a group", QUOTA_WRITE, None,
        lambda office, caller, asked: people.leave(office, caller, asked.path["group"], asked.path["person"]),
    ),
    Operation(
        "previewMember", "POST", "/groups/{group}/preview", "What its rules would have refused of somebody's last 30 days",
        QUOTA_READ, rules.PreviewView,
        lambda office, _caller, asked: rules.preview_member(office, asked.path["group"], asked.body), body=people.Member,
    ),
    Operation(
        "listRules", "GET", "/rules", "Every rule", QUOTA_READ, rules.RuleList,
        lambda office, _caller, _asked: rules.rules(office),
    ),
    Operation(
        "createRule", "POST", "/rules", "Write a new rule", QUOTA_WRITE, rules.RuleView,
        lambda office, caller, asked: rules.write(office, caller, asked.body), body=rules.RuleWish,
    ),
    Operation(
        "changeRule", "PUT", "/rules/{number}", "Put another rule in the place of this one", QUOTA_WRITE, rules.RuleView,
        lambda office, caller, asked: rules.write(office, caller, asked.body, int(asked.path["number"])), body=rules.RuleWish,
    ),
    Operation(
        "removeRule", "DELETE", "/rules/{number}", "Take a rule away, with its exceptions", QUOTA_WRITE, None,
        lambda office, caller, asked: rules.remove(office, caller, int(asked.path["number"])),
    ),
    Operation(
        "previewRule", "POST", "/rules/preview", "What a rule would have refused in 30 days", QUOTA_READ, rules.PreviewView,
        lambda office, _caller, asked: rules.preview_rule(office, asked.body), body=rules.RuleWish,
    ),
    Operation(
        "listExceptions", "GET", "/exceptions", "Every exception that is in force", QUOTA_READ, rules.ExceptionList,
        lambda office, _caller, _asked: rules.exceptions(office),
    ),
    Operation(
        "grantException", "POST", "/exceptions", "Write an exception", QUOTA_WRITE, rules.ExceptionView,
        lambda office, caller, asked: rules.grant(office, caller, asked.body), body=rules.ExceptionWish,
    ),
    Operation(
        "endException", "DELETE", "/exceptions/{number}", "Let an exception end now", QUOTA_WRITE, None,
        lambda office, caller, asked: rules.end_exception(office, caller, int(asked.path["number"])),
    ),
    Operation(
        "previewException", "POST", "/exceptions/preview", "What an exception would have let be in 30 days", QUOTA_READ,
        rules.PreviewView,
        lambda office, _caller, asked: rules.preview_exception(office, asked.body), body=rules.ExceptionWish,
    ),
    Operation(
        "readUsage", "GET", "/usage", "Usage by person, group or resource group", QUOTA_READ, usage.UsageTable,
        lambda office, _caller, asked: usage.table(office, asked.query), query=usage.UsageQuery,
    ),
    Operation(
        "readOwn", "GET", "/me", "My sessions, my usage and what is left", None, usage.Own,
        lambda office, caller, _asked: usage.own(office, caller),
    ),
    Operation(
        "readAudit", "GET", "/audit", "Lines of the audit, the newest first", AUDIT_READ, AuditPage,
        lambda office, _caller, asked: records.audit(office, asked.query), query=AuditQuery,
    ),
    Operation(
        "listStatements", "GET", "/statements", "Residue statements, the newest first", AUDIT_READ, records.StatementList,
        lambda office, _caller, _asked: records.statements(office),
    ),
    Operation(
        "listNodes", "GET", "/nodes", "What preflights found on nodes", AUDIT_READ, records.NodeList,
        lambda office, _caller, _asked: records.nodes(office),
    ),
)  # fmt: skip
