"""A person with a running session at the real hub, for tests that are not themselves asynchronous."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import json
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from bench.person import Person
from testbed.site import Testbed

T = TypeVar("T")
WISH = {"resource_group": "ct-link", "destination": "cloud", "gpus": 0, "hours": 1, "language": "en"}


class Guest:
    """`name`'s session and one kernel in it. Cells run one after the other and share their names, as in a notebook."""

    def __init__(self, site: Testbed, name: str, runner: asyncio.Runner, person: Person, kernel: str) -> None:
        self.site, self.name = site, name
        self.person = person
        self._runner, self._kernel = runner, kernel

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """`work` to its end."""
        return self._runner.run(work)

    def ask(self, code: str) -> Any:
        """What the last expression of the cell `code` is, which json can write."""
        body, _, last = code.rstrip().rpartition("\n")
        shown = self.run(self.person.run_cell(self._kernel, f"{body}\nimport json\njson.dumps({last})"))
        return json.loads(ast.literal_eval(shown))

    @property
    def job(self) -> str:
        """The number of the session's job."""
        argv = ["squeue", "--noheader", f"--user=rs-{self.name}", "--format=%i"]
        return self.site.run("hub", argv, check=True).stdout.strip()

    @property
    def node(self) -> str:
        """Where the session runs."""
        argv = ["squeue", "--noheader", f"--user=rs-{self.name}", "--format=%N"]
        return self.site.run("hub", argv, check=True).stdout.strip()


@contextlib.contextmanager
def guest(site: Testbed, name: str, **wish: object) -> Iterator[Guest]:
    """`name`'s session, from the login to its end; `wish` says what is different from WISH."""
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()

        async def arrive() -> tuple[Person, str]:
            person = await stack.enter_async_context(Person(site.url, name))
            await person.log_in(site.passwords[name])
            stack.push_async_callback(person.stop)
            await person.ask_for_server({**WISH, **wish})
            await person.wait_until_ready()
            await person.open_lab()
            return person, await stack.enter_async_context(person.kernel("ct"))

        try:
            yield Guest(site, name, runner, *runner.run(arrive()))
        finally:
            runner.run(stack.aclose())
