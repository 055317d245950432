"""People and groups, which are JupyterHub's; who is in which group decides which rules count."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from phrases import N_
from spawner.console.access import Caller
from spawner.console.errors import ConsoleError
from spawner.console.hubapi import HubGroup, HubPerson
from spawner.console.office import Office

GROUP = r"[a-z][a-z0-9-]{0,30}"
PERSON = r"[a-z][a-z0-9._-]{0,62}"
END = r"$(?!\n)"
"""The very end, in Python's regular expressions and in JSON Schema's: Python's `$` alone lets a line break pass."""

THERE_ALREADY = N_("There is a group of this name already.")

GroupName = Annotated[str, Meta(pattern=rf"^{GROUP}{END}")]
PersonName = Annotated[str, Meta(pattern=rf"^{PERSON}{END}")]


class PeopleList(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody whom the hub knows."""

    people: tuple[HubPerson, ...]


class GroupList(msgspec.Struct, frozen=True, kw_only=True):
    """Every group of the hub."""

    groups: tuple[HubGroup, ...]


class GroupWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new group."""

    name: GroupName


class Member(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Somebody to put into a group."""

    person: PersonName


async def people(office: Office, caller: Caller) -> PeopleList:
    """Everybody. Raises ConsoleError."""
    return PeopleList(people=await office.hub.people(caller.token))


async def groups(office: Office, caller: Caller) -> GroupList:
    """Every group. Raises ConsoleError."""
    return GroupList(groups=await office.hub.groups(caller.token))


async def create(office: Office, caller: Caller, wish: GroupWish) -> HubGroup:
    """Make a group. Raises ConsoleError."""
    await office.record("group-created", caller.name, group=wish.name)
    try:
        await office.hub.create_group(caller.token, wish.name)
    except ConsoleError as error:
        if error.status == 409:
            raise ConsoleError(409, THERE_ALREADY, str(error)) from error
        raise
    return HubGroup(name=wish.name)


async def delete(office: Office, caller: Caller, group: str) -> None:
    """Take a group away; its rules stay, and count for nobody. Raises ConsoleError."""
    await office.record("group-deleted", caller.name, group=group)
    await office.hub.delete_group(caller.token, group)


async def join(office: Office, caller: Caller, group: str, member: Member) -> HubGroup:
    """Put somebody into a group. Raises ConsoleError."""
    await office.record("group-joined", caller.name, group=group, user=member.person)
    await office.hub.join(caller.token, group, member.person)
    return HubGroup(name=group, users=(member.person,))


async def leave(office: Office, caller: Caller, group: str, person: str) -> None:
    """Take somebody out of a group. Raises ConsoleError."""
    await office.record("group-left", caller.name, group=group, user=person)
    await office.hub.leave(caller.token, group, person)
