"""Rules and exceptions as they are written down: what administrators change and everybody may read.

Every call is one transaction and blocks; each raises DatabaseDownError where the database can't be reached.
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from spawner.quota import opening
from spawner.quota.policy import Exemption, Kind, Rule, Scope, Window
from spawner.quota.tables import ExemptionRow, RuleRow
from spawner.store.database import Database

COUNTS = {Kind.SESSIONS, Kind.GPUS}
NAME_LENGTH = 255
LIST_LENGTH = 1024


class BadRuleError(Exception):
    """There is no such rule; the text is a sentence for the administrator."""


def checked(rule: Rule) -> Rule:
    """`rule` where it makes sense. Raises BadRuleError."""
    if (rule.scope is Scope.EVERYONE) != (not rule.subject) or len(rule.subject) > NAME_LENGTH:
        raise BadRuleError("A rule for a group or a person needs its name, and a rule for everyone has none.")
    if not 0 <= rule.limit < 1e9 or (rule.kind in COUNTS and rule.limit % 1 != 0):
        raise BadRuleError("A limit is a number from 0; of sessions and GPUs a whole one.")
    if (rule.kind is Kind.GPU_HOURS) != (rule.window is not None):
        raise BadRuleError("A limit of GPU-hours needs its window, and no other limit has one.")
    if (rule.kind is Kind.OPENING) != bool(rule.openings) or len(opening.text_of(rule.openings)) > LIST_LENGTH:
        raise BadRuleError("A rule about opening hours needs them, and no other rule has them.")
    if rule.kind is not Kind.DESTINATIONS and rule.destinations:
        raise BadRuleError("Only a rule about destinations names some.")
    if any(not name or "," in name for name in rule.destinations) or len(",".join(rule.destinations)) > LIST_LENGTH:
        raise BadRuleError("A destination is named as in the site file.")
    if rule.shared and rule.kind not in {*COUNTS, Kind.GPU_HOURS}:
        raise BadRuleError("Only sessions, GPUs and GPU-hours can be shared.")
    return rule


class Rulebook:
    """The rules and exceptions in `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rules(self) -> tuple[Rule, ...]:
        """Every rule, in the order in which they were made."""
        with self._database.read() as session:
            return read_rules(session)

    def exemptions(self, since: float = 0.0) -> tuple[Exemption, ...]:
        """Every exception that ends after `since`."""
        with self._database.read() as session:
            return read_exemptions(session, since)

    def set_rule(self, rule: Rule) -> Rule:
        """Write `rule` down, a new one (`id` 0) or in the place of the one with its id; as it stands there.

        Raises BadRuleError where it makes no sense, or there is none with its id.
        """
        values = _rule_values(checked(rule))
        with self._database.write() as session:
            row = RuleRow(**values) if rule.id == 0 else session.get(RuleRow, rule.id)
            if row is None:
                raise BadRuleError(f"There is no rule {rule.id}.")
            for name, value in values.items():
                setattr(row, name, value)
            session.add(row)
            session.flush()
            return _rule(row)

    def remove_rule(self, rule: int) -> bool:
        """Take a rule away, with its exceptions; whether there was one."""
        with self._database.write() as session:
            session.execute(delete(ExemptionRow).where(ExemptionRow.rule == rule))
            row = session.get(RuleRow, rule)
            if row is not None:
                session.delete(row)
            return row is not None

    def grant_exemption(self, exemption: Exemption) -> Exemption:
        """Write a new exception down; as it stands there. Raises BadRuleError."""
        with self._database.write() as session:
            row = session.get(RuleRow, exemption.rule)
            if row is None:
                raise BadRuleError(f"There is no rule {exemption.rule}.")
            counted = Kind(row.kind) not in {Kind.OPENING, Kind.DESTINATIONS}
            if exemption.limit is not None and not (counted and row.limit < exemption.limit < 1e9):
                raise BadRuleError("An exception has a higher limit than its rule, or none.")
            if not 0 < len(exemption.user) <= NAME_LENGTH or len(exemption.note) > NAME_LENGTH:
                raise BadRuleError("An exception needs a person, and its note is one line.")
            made = ExemptionRow(**{name: value for name, value in _fields(exemption) if name != "id"})
            session.add(made)
            session.flush()
            return _exemption(made)

    def end_exemption(self, exemption: int, now: float) -> bool:
        """Let an exception end at `now`; whether it was in force."""
        with self._database.write() as session:
            row = session.get(ExemptionRow, exemption)
            if row is None or row.until <= now:
                return False
            row.until = now
            return True


def read_rules(session: Session) -> tuple[Rule, ...]:
    """Every rule, in a transaction of the caller's."""
    return tuple(_rule_of(*row) for row in session.execute(_RULES))


def read_exemptions(session: Session, since: float) -> tuple[Exemption, ...]:
    """Every exception that ends after `since`, in a transaction of the caller's."""
    return tuple(_exemption(row) for row in session.scalars(_EXEMPTIONS, {"since": since}))


# Made once: putting them together takes longer than asking.
_RULES = select(*(getattr(RuleRow, name) for name in Rule.__struct_fields__)).order_by(RuleRow.id)
_EXEMPTIONS = select(ExemptionRow).where(ExemptionRow.until > bindparam("since")).order_by(ExemptionRow.id)


def _rule(row: RuleRow) -> Rule:
    return _rule_of(*(getattr(row, name) for name in Rule.__struct_fields__))


@functools.lru_cache(maxsize=1024)
def _rule_of(*columns: Any) -> Rule:  # noqa: ANN401
    """A rule out of its columns, which are its fields; the same ones are asked for at every start."""
    values = dict(zip(Rule.__struct_fields__, columns, strict=True))
    return Rule(
        **{
            **values,
            "scope": Scope(values["scope"]),
            "kind": Kind(values["kind"]),
            "window": Window(values["window"]) if values["window"] is not None else None,
            "openings": opening.parse(values["openings"]) if values["openings"] else (),
            "destinations": tuple(values["destinations"].split(",")) if values["destinations"] else (),
        }
    )


def _rule_values(rule: Rule) -> dict[str, object]:
    return {
        "scope": rule.scope.value,
        "subject": rule.subject,
        "resource_group": rule.resource_group,
        "kind": rule.kind.value,
        "limit": float(rule.limit),
        "window": rule.window.value if rule.window is not None else None,
        "openings": opening.text_of(rule.openings),
        "destinations": ",".join(rule.destinations),
        "shared": rule.shared,
    }


def _exemption(row: ExemptionRow) -> Exemption:
    return Exemption(id=row.id, rule=row.rule, user=row.user, until=row.until, limit=row.limit, note=row.note)


def _fields(exemption: Exemption) -> list[tuple[str, object]]:
    return [(name, getattr(exemption, name)) for name in exemption.__struct_fields__]
