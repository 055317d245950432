"""Rules, wishes and charges of tests, and a database for each of the two systems."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from spawner.quota.policy import Charge, Kind, Policy, Rule, Scope, Window, Wish

TOKYO = ZoneInfo("Asia/Tokyo")
NOW = 1_795_000_000.0
H = 3600.0


def rule(kind: Kind, limit: float = 0.0, **more) -> Rule:
    return Rule(**{"id": 1, "scope": Scope.EVERYONE, "kind": kind, "limit": limit, **more})


def gpu_hours(limit: float, window: Window = Window.DAY, **more) -> Rule:
    return rule(Kind.GPU_HOURS, limit, window=window, **more)


def wish(**more) -> Wish:
    values = {"session": "wish000000000000", "user": "tanaka", "resource_group": "ct-link", "destination": "cloud"}
    return Wish(**{**values, "gpus": 1, "hours": 1.0, "at": NOW, **more})


def charge(session: str, **more) -> Charge:
    values = {"session": session, "user": "tanaka", "resource_group": "ct-link", "gpus": 1, "hours": 4.0, "at": NOW - H}
    return Charge(**{**values, **more})


def policy(*rules: Rule, **more) -> Policy:
    return Policy(rules=rules, zone=TOKYO, **more)
