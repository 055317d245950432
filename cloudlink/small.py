"""Small files that are read one after the other: the next ones are fetched whole before they are asked for.

Opening, looking and reading cost a round trip each, more than the bytes. What was fetched is used for a second, or as long as the
server goes on saying that size and time are the same.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cloudlink import responses, wire
from cloudlink.connection import Question, failed_with
from cloudlink.fetch import FRESH, LARGEST, Fetch, Item
from cloudlink.listing import LONGEST_NAME, Listing
from cloudlink.order import Order
from cloudlink.responses import Entry
from cloudlink.wire import Attrs, Kind, Open, Status

if TYPE_CHECKING:
    from cloudlink.files import OpenFile
    from cloudlink.session import Call, Session

_RECHECK = FRESH / 2
_AT_ONCE = 32
"""Files that are being fetched at the same time."""
_AHEAD = 64
"""Files that are kept ready for somebody who goes in order."""
_CANDIDATES = 2_000
"""Files that are considered for somebody who jumps about."""
_FOLDERS = 4
_NAMES = 10_000
"""Of one folder; of a longer one the rest is not fetched ahead."""
_ACTIVE = 3.0
"""Seconds after the last file of a folder was opened, for which its others are fetched."""


class _Folder:
    """A listing, and when a file of it was last opened."""

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.order = Order(())
        self.used = 0.0
        self.listing = Listing()


class Small:
    """All that is fetched in this way."""

    def __init__(self, session: Session, memory: int) -> None:
        self._session, self._memory = session, memory
        self._folders: collections.OrderedDict[bytes, _Folder] = collections.OrderedDict()
        self._items: dict[bytes, Item] = {}
        self._fetching = 0
        self._held = 0
        self._ticking = False
        self._opening: collections.Counter[bytes] = collections.Counter()
        """Files at which sshfs will look beside opening them."""
        self._changed = 0.0
        """When anything was last about to be changed through this mount."""

    # What passes by

    def listed(self, folder: bytes, entries: Sequence[Entry], asked: float, *, begin: bool) -> None:
        """A part of a folder's listing came, that was asked for then; `begin` with the first."""
        if begin or folder not in self._folders:
            self._folders[folder] = _Folder()
            self._folders.move_to_end(folder)
            while len(self._folders) > _FOLDERS:
                self._folders.popitem(last=False)
        found = self._folders[folder]
        if len(found.names) < _NAMES:
            found.names += [entry.name for entry in entries if _simple(entry)]
        self._put(folder, entries, asked)

    def _put(self, folder: bytes, entries: Sequence[Entry], asked: float) -> None:
        found = self._folders.get(folder)
        if found is not None and asked > self._changed:
            found.listing.put(entries, asked)

    def changed(self, path: bytes) -> None:
        """It is about to be changed through this mount, or was and is closed now."""
        self._drop(path)
        self._forget(_split(path)[0])

    def _forget(self, folder: bytes) -> None:
        self._changed = time.monotonic()
        found = self._folders.get(folder)
        if found is not None:
            found.listing.forget()

    def moved(self, path: bytes) -> None:
        """It, and all that is below it, is about to be called otherwise, or has more than one name."""
        below = path + b"/"
        for each in [each for each in self._items if each == path or each.startswith(below)]:
            self._drop(each)
        for each in [each for each in self._folders if each == path or each.startswith(below)]:
            del self._folders[each]
        folder, name = _split(path)
        if folder in self._folders:
            self._folders[folder].order.without(name)
        self._forget(folder)

    def cut(self) -> None:
        """The connection went: nothing is believed any more."""
        for path in list(self._items):
            self._drop(path)
        for found in self._folders.values():
            found.listing.forget()
        self._opening.clear()
        self._fetching = 0

    # What sshfs asks for

    def stat(self, call: Call) -> bool:
        """Whether the look at a name was answered here."""
        path = call.request.path
        item = self._items.get(path)
        opening = self._opening.pop(path, 0)
        if opening > 1:
            self._opening[path] = opening - 1
        if item is not None and item.fresh:
            told = item.raw
        else:
            # By the look beside an opening sshfs decides whether what the kernel has of the file is still true.
            told = b"" if opening or self._session.files.at(path) else self._listed(path)
        if told:
            self._session.reply(call, wire.packet(Kind.ATTRS, call.request.id, told))
        return bool(told)

    def _listed(self, path: bytes) -> bytes:
        """What the listing of its folder said of a file, if that is no older than a second."""
        folder, name = _split(path)
        found, connection = self._folders.get(folder), self._session.connection
        told = found.listing.get(name) if found is not None else b""
        if found is not None and told and connection is not None:
            found.listing.renew(connection, folder, lambda entries, asked: self._put(folder, entries, asked))
        return told

    def open(self, call: Call) -> bool:
        """Whether the opening was answered here. Fetches what will probably be opened next."""
        path = call.request.path
        self._opening[path] += 1
        if call.request.flags != Open.READ:
            return False
        item = self._items.get(path)
        found = item is not None and item.fresh
        if item is not None and found:
            file = self._session.files.add(path, Open.READ, b"")
            file.lazy, file.known, file.low, file.content = True, item.attrs, item.attrs.size or 0, item
            self._session.reply(call, responses.handle_packet(call.request.id, file.number))
            # sshfs looks at the name once more, beside opening it: that finds the item here for as long as it is fresh.
            item.used = True
        self._follow(path)
        return found

    def read(self, call: Call, file: OpenFile) -> bool:
        """Whether the reading was answered here."""
        item = file.content
        if item is None:
            return False
        if not item.fresh or item.data is None or file.writing:
            file.content = None
            return False
        piece = item.data[call.request.offset : call.request.offset + call.request.length]
        if piece:
            self._session.reply(call, responses.data_head(call.request.id, len(piece)), piece)
        else:
            self._session.reply_status(call, Status.EOF)
        return True

    # Fetching

    def _follow(self, path: bytes) -> None:
        folder, name = _split(path)
        found = self._folders.get(folder)
        if found is None:
            return
        if len(found.order) == 0 and found.names:
            found.order = Order(found.names)
        if name in found.order:
            found.order.opened(name)
            found.used = time.monotonic()
            self._fetch_ahead(folder, found)
            if self._items and not self._ticking:
                self._ticking = True
                self._session.loop.later(_RECHECK, self._tick)

    def _fetch_ahead(self, folder: bytes, found: _Folder) -> None:
        limit = _AHEAD if found.order.in_order else _CANDIDATES
        for count, name in enumerate(found.order.ahead()):
            if count >= limit or self._fetching >= _AT_ONCE or self._held + LARGEST > self._memory:
                return
            path = folder + b"/" + name
            if path not in self._items and not self._session.files.at(path):
                self._fetch(Item(path), folder)

    def _fetch(self, item: Item, folder: bytes) -> None:
        connection = self._session.connection
        if connection is None or not connection.open:
            return
        self._items[item.path] = item
        self._fetching += 1
        self._held += LARGEST
        Fetch(connection, item, lambda item: self._fetched(item, folder))

    def _fetched(self, item: Item, folder: bytes) -> None:
        self._fetching = max(0, self._fetching - 1)
        if item.data is None:
            # Not readable, or no longer what it was: it is left to whoever asks for it.
            self._drop(item.path)
            found = self._folders.get(folder)
            if found is not None:
                found.order.without(_split(item.path)[1])
            return
        if self._items.get(item.path) is item:
            self._held += len(item.data) - LARGEST
        if (found := self._folders.get(folder)) is not None:
            self._fetch_ahead(folder, found)

    def _drop(self, path: bytes) -> None:
        item = self._items.pop(path, None)
        if item is not None:
            self._held -= LARGEST if item.data is None else len(item.data)

    def _tick(self) -> None:
        """Look again at what nobody has wanted yet, and forget it when its folder is left alone."""
        now = time.monotonic()
        for item in list(self._items.values()):
            found = self._folders.get(_split(item.path)[0])
            if found is None or now - found.used > _ACTIVE or (item.used and not item.fresh):
                self._drop(item.path)
            elif item.data is not None and not item.used and now - item.asked > _RECHECK / 2:
                self._recheck(item)
        self._ticking = bool(self._items)
        if self._ticking:
            self._session.loop.later(_RECHECK, self._tick)

    def _recheck(self, item: Item) -> None:
        connection, asked = self._session.connection, time.monotonic()
        if connection is None or not connection.open:
            return

        def seen(kind: int | None, frame: bytearray) -> None:
            if kind is None or self._items.get(item.path) is not item:
                return
            now = responses.parse_attrs(frame) if failed_with(kind, frame, Kind.ATTRS) is None else Attrs()
            if now == item.attrs:
                item.asked = asked
            else:
                self._drop(item.path)

        connection.send(wire.packet(Kind.LSTAT, connection.number(Question(seen)), wire.string(item.path)))


def _split(path: bytes) -> tuple[bytes, bytes]:
    folder, _, name = path.rpartition(b"/")
    return folder, name


def _simple(entry: Entry) -> bool:
    """Whether it is a small file with one name only: written under another, it would be changed unseen."""
    attrs = entry.attrs
    named = len(entry.name) <= LONGEST_NAME
    return named and attrs.is_file and attrs.size is not None and 0 < attrs.size <= LARGEST and entry.names == 1
