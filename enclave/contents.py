"""The notebook server's way to the files of the mount: every look and every change waits in a thread of its own pools.

A file system that waits for the line holds up whoever asks it. jupyter_server's own managers, the asynchronous ones too, ask it in
the event loop now and then, and with that the kernels' websockets wait as well. So here its synchronous manager does the work, in
threads, and the loop only waits for them: few threads, and none of the loop's own, which others need.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupyter_server.services.contents.manager import AsyncContentsManager
from nbformat.sign import MemorySignatureStore, NotebookNotary
from tornado.web import HTTPError
from traitlets import Bool, Unicode, default

from enclave.drafts import sweep, whole

READERS = 8
"""Looks at files at once; while the line is cut, more of them wait in a queue, and nothing else does."""

_GIVEN_UP = frozenset({errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT})
"""What a mount answers when nobody waits for the line any more."""
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG})
"""What says that there is no such file, or none for this person. Anything else says nothing of the file."""

Asked = ParamSpec("Asked")
Result = TypeVar("Result")


class Contents(AsyncContentsManager):
    """Files as the server's handlers ask for them.

    Changes are made one after the other, in the order in which they were asked for; looks go on beside them.
    """

    lost = Unicode("The storage does not answer.", config=True, help="What people read when nobody waits for the storage any more.")

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self._files = Files(parent=self, log=self.log)
        self._looks = ThreadPoolExecutor(READERS, thread_name_prefix="contents-look")
        self._changes = ThreadPoolExecutor(1, thread_name_prefix="contents-change")

    @default("root_dir")
    def _default_root_dir(self) -> str:
        return self.parent.root_dir if self.parent else str(Path.cwd())

    @property
    def delete_to_trash(self) -> bool:
        """The Lab asks, to say what deleting means."""
        return bool(self._files.delete_to_trash)

    # What asks no file

    async def is_hidden(self, path: str) -> bool:
        """By the names alone: what a person may not enter is refused when it is looked at."""
        return any(name.startswith(".") for name in path.strip("/").split("/"))

    # Looks

    async def dir_exists(self, path: str) -> bool:
        """Whether there is such a folder."""
        return await self._look(self._files.dir_exists, path)

    async def exists(self, path: str) -> bool:
        """Whether there is anything."""
        return await self._look(self._files.exists, path)

    async def get(  # the arguments are jupyter's
        self,
        path: str,
        content: bool = True,  # noqa: FBT001, FBT002
        type: str | None = None,  # noqa: A002
        format: str | None = None,  # noqa: A002
        require_hash: bool = False,  # noqa: FBT001, FBT002
    ) -> dict[str, Any]:
        """The model of a file or folder."""
        return await self._look(self._files.get, path, content, type, format, require_hash)

    async def get_kernel_path(self, path: str, model: object = None) -> str:
        """The folder in which a notebook's kernel works."""
        return await self._look(self._files.get_kernel_path, path, model)

    async def trust_notebook(self, path: str) -> None:
        """Remembers, in memory, that its cells are trusted."""
        await self._look(self._files.trust_notebook, path)

    async def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        """The checkpoints of a file."""
        return await self._look(self._files.list_checkpoints, path)

    # Changes

    async def file_exists(self, path: str) -> bool:
        """Whether there is such a file. Whoever changes one asks this first (PUT and POST), and takes their turn by it."""
        return await self._turn(self._files.file_exists, path)

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Writes a file, or makes a folder; returns when the storage has it."""
        return await self._turn(self._files.save, model, path)

    async def new(self, model: dict[str, Any] | None = None, path: str = "") -> dict[str, Any]:
        """Writes a file that was not there."""
        return await self._turn(self._files.new, model, path)

    async def new_untitled(self, path: str = "", type: str = "", ext: str = "") -> dict[str, Any]:  # noqa: A002  (jupyter's name)
        """Makes an empty file or folder under the next free name."""
        return await self._turn(self._files.new_untitled, path, type, ext)

    async def copy(self, from_path: str, to_path: str | None = None) -> dict[str, Any]:
        """A copy under the next free name, of a file as a save before left it. A folder's may take minutes: no save waits."""
        if await self._look(self._files.dir_exists, from_path):
            return await self._look(self._files.copy, from_path, to_path)
        return await self._in_two_turns(self._files.copy, from_path, to_path)

    async def update(self, model: dict[str, Any], path: str) -> dict[str, Any]:
        """Gives a file or folder another name."""
        return await self._in_two_turns(self._files.update, model, path)

    async def rename(self, old_path: str, new_path: str) -> None:
        """The same."""
        await self._in_two_turns(self._files.rename, old_path, new_path)

    async def delete(self, path: str) -> None:
        """Removes a file or an empty folder."""
        await self._in_two_turns(self._files.delete, path)

    async def create_checkpoint(self, path: str) -> dict[str, Any]:
        """Keeps a copy of a file in memory."""
        return await self._in_two_turns(self._files.create_checkpoint, path)

    async def restore_checkpoint(self, checkpoint_id: str, path: str) -> None:
        """Writes such a copy back."""
        await self._in_two_turns(self._files.restore_checkpoint, checkpoint_id, path)

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        """Forgets it."""
        await self._in_two_turns(self._files.delete_checkpoint, checkpoint_id, path)

    async def _look(self, call: Callable[Asked, Result], *arguments: Asked.args, **named: Asked.kwargs) -> Result:
        return await self._run(self._looks, partial(call, *arguments, **named))

    async def _turn(self, call: Callable[Asked, Result], *arguments: Asked.args, **named: Asked.kwargs) -> Result:
        return await self._run(self._changes, partial(call, *arguments, **named))

    async def _in_two_turns(self, call: Callable[Asked, Result], *arguments: Asked.args, **named: Asked.kwargs) -> Result:
        # A save takes two, `file_exists` and its own: what is asked for after it must not come between them.
        await self._turn(_nothing)
        return await self._turn(call, *arguments, **named)

    async def _run(self, threads: Executor, call: Callable[[], Result]) -> Result:
        self._files.loop = asyncio.get_running_loop()
        try:
            return await self._files.loop.run_in_executor(threads, call)
        except (OSError, HTTPError) as error:
            if given_up(error):
                raise HTTPError(503, self.lost) from error
            if isinstance(error, OSError):
                # A name that is too long, a link that leads to itself: people read why.
                raise HTTPError(500, error.strerror or str(error)) from error
            raise


class Files(LargeFileManager):
    """The files themselves, by calls that wait, from any thread."""

    loop: asyncio.AbstractEventLoop
    """Where events are told."""
    # A notebook that can't be read is not replaced by whatever such writing would have left beside it: nothing here does it.
    use_atomic_writing = Bool(default_value=False)

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)
        self._signing = threading.RLock()
        self._swept: set[Path] = set()

    @default("notary")
    def _default_notary(self) -> NotebookNotary:
        # An SQLite store belongs to the thread that made it.
        return NotebookNotary(parent=self, store_factory=MemorySignatureStore)

    def check_and_sign(self, nb: dict[str, Any], path: str = "", *, _retrying: bool = False) -> None:
        """One thread at a time."""
        with self._signing:
            super().check_and_sign(nb, path, _retrying=_retrying)

    def mark_trusted_cells(self, nb: dict[str, Any], path: str = "") -> None:
        """One thread at a time."""
        with self._signing:
            super().mark_trusted_cells(nb, path)

    def emit(self, data: dict[str, Any]) -> None:
        """Tells of what was done where the listeners are."""
        assert self.parent is not None  # noqa: S101  (for the type checker: Contents)
        # Nobody listens to a server that has ended.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.parent.emit, data)

    # A storage that does not answer has not said that there is no such file: else something could be made in its place.

    def exists(self, path: str) -> bool:
        """Whether there is anything. Raises OSError when that can't be told."""
        return _status(self._get_os_path(path.strip("/")), os.lstat) is not None

    def file_exists(self, path: str) -> bool:
        """Whether there is such a file. Raises OSError when that can't be told."""
        found = _status(self._get_os_path(path.strip("/")), os.stat)
        return found is not None and stat.S_ISREG(found.st_mode)

    def dir_exists(self, path: str) -> bool:
        """Whether there is such a folder. Raises OSError when that can't be told."""
        found = _status(self._get_os_path(path.strip("/")), os.stat)
        return found is not None and stat.S_ISDIR(found.st_mode)

    def new(self, model: dict[str, Any] | None = None, path: str = "") -> dict[str, Any]:
        """Writes a file that was not there, empty where `model` has no content. Raises HTTPError (409)."""
        if "content" not in (model or {}) and self.file_exists(path):
            # It has come between the handler's question and this turn.
            raise HTTPError(409, f"File already exists: {path}")
        made: dict[str, Any] = super().new(model, path)
        return made

    def delete_file(self, path: str) -> None:
        """Removes a file or an empty folder: one that has nothing but abandoned drafts is empty to whoever looks at it."""
        if self.dir_exists(path):
            sweep(Path(self._get_os_path(path.strip("/"))))
        super().delete_file(path)

    def _dir_model(self, path: str, content: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002  (jupyter's)
        model: dict[str, Any] = super()._dir_model(path, content)
        if content:
            # jupyter leaves out what it could not look at: when nothing answers any more, that is no listing.
            _status(self._get_os_path(path), os.stat)
        return model

    @contextlib.contextmanager
    def atomic_writing(
        self,
        os_path: str,
        text: bool = True,  # noqa: FBT001, FBT002  (jupyter's)
        encoding: str = "utf-8",
        **_: object,
    ) -> Iterator[IO[Any]]:
        """A stream for the new content of `os_path`, which has it when the storage has all of it, else its old content."""
        path = Path(os_path)
        with self.perm_to_403(os_path), whole(path, encoding if text else None) as stream:
            yield stream
        if path.parent not in self._swept:
            # Once a session: it costs a look at the whole folder.
            self._swept.add(path.parent)
            sweep(path.parent)


def given_up(error: BaseException) -> bool:
    """Whether `error`, or what it was raised for, is a mount's word that nobody waits for the line any more."""
    causes = (error, error.__cause__)
    return any(isinstance(each, OSError) and each.errno in _GIVEN_UP for each in causes)


def _status(path: str, ask: Callable[[str], os.stat_result]) -> os.stat_result | None:
    try:
        return ask(path)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def _nothing() -> None:
    pass
