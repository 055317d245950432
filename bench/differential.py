"""`bin/bench differential`: random operations on a mount and in a local folder beside it; value: where they differ.

A destination on loopback (`testbed.nearby`), mounted with a session's options, twice; two folders, one behind the mounts. Each
round draws steps (`bench.posix`) from its seed, does each on both sides and compares what a program saw, and at the end what is
there, by the mounts and on the destination's own disk. With `--cuts` the line breaks at random moments: silence, resets, servers
that die, refusals, held flows that arrive late. `--seed N --rounds 1` does one round again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import multiprocessing
import random
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from bench.posix import NAMESPACE, Side, Step, hides, steps, tree
from bench.report import Report, say
from testbed.nearby import Mount, Nearby, link_command, nearby

STEPS = 70
PATIENCE = 90.0
"""Seconds that one step may take; after that, it hangs."""
_LATE = 1.05
"""Seconds for which a mount may believe what it was told of a file: a second mount's changes are looked at after that."""
_SILENT = 3.5
"""Seconds of a long silence: more than a link should need to give a connection up."""
_UNKNOWN = {"EIO", "EBUSY"}
"""What a program is told when nobody knows: libfuse says EBUSY when it could not hide an open file."""
_GENERIC = {"EPERM", "EIO", "ENOTEMPTY", "EEXIST", "EISDIR", "ENOTDIR", "EINVAL", "EBUSY", "EXDEV"}
"""SFTP has one word, failure, for all of these; sshfs says EPERM for it."""


class Cut(msgspec.Struct, frozen=True):
    """The line breaks while a step is done."""

    step: int
    orders: tuple[tuple[float, str], ...]
    """Seconds from the step's begin, and what the forwarder is told then."""


class Found(msgspec.Struct, frozen=True):
    """What one round found."""

    seed: int
    difference: str = ""
    """The first one; empty: none."""
    step: int = 0
    ambiguous: int = 0
    """Steps of which the mount said EIO because the line broke in between, and of which nobody can know whether they were done."""
    done: int = 0
    cuts: int = 0


def cuts(draw: random.Random, count: int) -> list[Cut]:
    """One to three cuts among `count` steps. Pure."""
    found = []
    for step in sorted(draw.sample(range(count), draw.randint(1, 3))):
        at, short, long = draw.uniform(0, 0.02), draw.uniform(0.05, 0.5), draw.uniform(_SILENT, 2 * _SILENT)
        kind = draw.choice(
            (
                [(at, "reset")],
                [(at, "reset"), (at, "refuse"), (at + short, "restore")],
                [(at, "silence"), (at + short, "restore")],
                [(at, "silence"), (at + long, "restore")],
                [(at, "silence"), (at + short, "reset"), (at + short, "restore")],
                [(at, "kill")],
                [(at, "kill"), (at, "refuse"), (at + short, "restore")],
                [(at, "hold"), (at + long, "restore")],
            )
        )
        found.append(Cut(step, tuple(kind)))
    return found


def same(mounted: str, local: str) -> bool:
    """Whether a program may be told `mounted` by the mount where a local folder says `local`."""
    if mounted == local:
        return True
    return not local.startswith("ok") and local in _GENERIC and mounted in _GENERIC - {"EIO"}


def unsafe(step: Step, backing: Path) -> bool:
    """Whether libfuse's hidden files would make the step another one than it is on a local folder."""
    folders = {"rmdir": [step.path], "rename": [step.path, step.other]}.get(step.verb, [])
    return any(hides(backing / folder) for folder in folders)


class Round:
    """One round: two folders, fresh and empty."""

    def __init__(self, seed: int, here: Nearby, mounts: Sequence[Mount], *, cutting: bool) -> None:
        draw = random.Random(seed)  # noqa: S311  (test data)
        self.seed, self.line = seed, here.line
        # Going from one mount to the other takes a second each time.
        both = len(mounts) > 1 and draw.random() < 0.2
        self.steps = steps(draw, STEPS, switching=both)
        self.cuts = {cut.step: cut for cut in cuts(draw, len(self.steps))} if cutting else {}
        self.name = f"round-{seed}"
        self.local, self.backing = here.run / "local" / self.name, here.folder / self.name
        self.mounts = [each.place / self.name for each in (mounts if both else mounts[:1])]

    def run(self, told: Connection) -> None:
        """Do it; the last message in `told` is a Found, those before it are numbers of steps."""
        for folder in (self.local, self.backing):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        told.send_bytes(msgspec.json.encode(self._compare(told)))

    def _compare(self, told: Connection) -> Found:
        mounted, local = Side(*self.mounts), Side(self.local)
        for number, step in enumerate(self.steps):
            told.send_bytes(str(number).encode())
            if number in self.cuts:
                for seconds, order in self.cuts[number].orders:
                    self.line.order("later", round(seconds, 4), order)
            if unsafe(step, self.backing):
                continue
            if step.verb == "switch":
                time.sleep(_LATE)
            one, other = mounted.do(step), local.do(step)
            if one in _UNKNOWN and step.verb in NAMESPACE and self.cuts:
                # Which of the two came to be is for whoever was told to find out; comparing further would need to know.
                return Found(self.seed, ambiguous=1, done=number, cuts=len(self.cuts))
            if not same(one, other):
                return Found(
                    self.seed, f"{_text(step)}: the mount says {one!r}, a local folder {other!r}", number, 0, number, len(self.cuts)
                )
        difference = self._end(mounted, local)
        return Found(self.seed, difference, len(self.steps), 0, len(self.steps), len(self.cuts))

    def _end(self, mounted: Side, local: Side) -> str:
        one, other = mounted.close(), local.close()
        if one != other:
            return f"closing all files: the mount says {one!r}"
        time.sleep(_LATE if len(self.mounts) > 1 else 0)
        wanted = tree(self.local)
        for where in (self.backing, *self.mounts):
            try:
                found = tree(where)
            except OSError as error:
                return f"at the end: {error}"
            if found != wanted:
                paths = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
                lines = [f"{path}: {found.get(path)!r}, should be {wanted.get(path)!r}" for path in paths[:3]]
                return f"at the end, {'on disk' if where == self.backing else 'in the mount'}: {'; '.join(lines)}"
        return ""


def _text(step: Step) -> str:
    return msgspec.json.encode(step).decode()


def judged(chosen: Round, mounts: Sequence[Mount], patience: float = PATIENCE) -> Found:
    """What a round finds, done in a process of its own: it may hang in the mount, or die of a mapped page that never came."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=chosen.run, args=(theirs,), daemon=True)
    child.start()
    theirs.close()
    step = 0
    try:
        while ours.poll(patience):
            said = ours.recv_bytes()
            if said[:1] == b"{":
                child.join(10)
                return msgspec.json.decode(said, type=Found)
            step = int(said)
        outcome = f"nothing for {patience:.0f} s"
    except EOFError:
        child.join(10)
        outcome = f"the program died ({child.exitcode})"
    if child.is_alive():
        for each in mounts:
            each.process.kill()
        child.kill()
        child.join(10)
    about = _text(chosen.steps[step]) if step < len(chosen.steps) else "at the end"
    return Found(chosen.seed, f"{about}: {outcome}", step, 0, step, len(chosen.cuts))


@contextlib.contextmanager
def mounted(here: Nearby, ssh_command: str | None, count: int) -> Iterator[list[Mount]]:
    """`count` mounts of the destination, on a line that is whole."""
    here.line.order("calm")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(here.mount(ssh_command)) for _ in range(count)]


def rounds(ssh_command: str | None, seeds: Iterable[int], *, cutting: bool, mounts: int = 2) -> Iterator[Found]:
    """A round for each seed; after one that differs, the mounts are made anew."""
    remaining = iter(seeds)
    with nearby() as here:
        going = True
        while going:
            going = False
            with mounted(here, ssh_command, mounts) as made:
                for seed in remaining:
                    found = judged(Round(seed, here, made, cutting=cutting), made)
                    here.line.order("calm")
                    if found.difference:
                        said = " | ".join(line for each in made for line in each.log.read_text().splitlines()[-3:])
                        found = msgspec.structs.replace(found, difference=f"{found.difference}; sshfs and what it runs: {said}")
                        going = True
                    yield found
                    if going:
                        break
                    shutil.rmtree(here.folder / f"round-{seed}")
                    shutil.rmtree(here.run / "local" / f"round-{seed}")


def main() -> int:
    """Rounds until the time or their number is used up; 0 if there was no difference."""
    parser = argparse.ArgumentParser(prog="bin/bench differential")
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each next one has the next number")
    parser.add_argument("--cuts", action="store_true", help="break the line at random moments")
    parser.add_argument("--mounts", type=int, default=2, choices=(1, 2))
    program = parser.add_mutually_exclusive_group()
    program.add_argument("--plain", action="store_true", help="stock sshfs and ssh")
    program.add_argument("--ssh-command", default=link_command(), help="what sshfs starts in place of ssh")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    seeds = itertools.takewhile(lambda _: time.monotonic() < end, range(options.seed, options.seed + options.rounds))
    found = []
    for each in rounds(None if options.plain else options.ssh_command, seeds, cutting=options.cuts, mounts=options.mounts):
        found.append(each)
        if each.difference:
            say(f"seed {each.seed}, step {each.step}: {each.difference}")
        elif len(found) % 20 == 0:
            say(f"{len(found)} rounds, {sum(bool(each.difference) for each in found)} differ")
    differing = [each for each in found if each.difference]
    detail: dict[str, object] = {
        "rounds": len(found),
        "steps": sum(each.done for each in found),
        "cuts": sum(each.cuts for each in found),
        "ambiguous": sum(each.ambiguous for each in found),
        "differing": [f"seed {each.seed}: {each.difference}" for each in differing[:20]],
        "mounted_by": "ssh" if options.plain else options.ssh_command,
    }
    Report(bench="differential", value=len(differing), unit="rounds that differ", better="lower", detail=detail).print()
    return 1 if differing or not found else 0


if __name__ == "__main__":
    sys.exit(main())
