"""`python -m enclave run`: from the order on standard input to the job's exit code.

Where the mechanism lets it, the server's sandbox starts before anything else, and before what else the enclave has to import:
importing the server takes longer than all the rest, and needs nothing that only the hub knows.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import BinaryIO

import msgspec

from enclave import fusermount, gpubusy, namespace, sandbox, syscalls
from enclave.children import Child
from enclave.failure import SessionFailure
from enclave.ground import Ground, Places
from enclave.launch import EXIT_BAD_ORDER, EXIT_FAILED
from enclave.messages import BODY_LIMIT, BadMessageError, Mechanism, Order, Phase, Reason, decode
from enclave.preflight.facts import Facts
from enclave.preflight.look import look
from enclave.preflight.probe import namespaces
from enclave.residue import gpu
from enclave.residue.node import BLIND, Node, open_node
from enclave.sandbox import Sandbox
from enclave.server_config import early_environment

_PREPARE: dict[Mechanism, Callable[[], Ground]] = {
    Mechanism.NAMESPACES: namespace.prepare,
    Mechanism.FUSERMOUNT: fusermount.prepare,
}


@dataclass(frozen=True)
class Stage:
    """What is ready for the session before the hub is asked."""

    ground: Ground
    home: str
    """The sandbox's."""
    hub_socket: socket
    start_server: Callable[[], Child]
    """Makes the sandbox with the server in it, where that had to wait; by the main thread, since the sandbox ends with its caller.

    Raises SessionFailure (sandbox-impossible)."""
    gpus: Sandbox | None
    """The sandbox in which the session's GPUs are scrubbed at its end; None where it has none."""
    gpu_numbers: frozenset[int] = frozenset()
    """Which of the node's GPUs are the session's."""


@dataclass(frozen=True)
class Early:
    """What runs, or failed, before the hub was asked."""

    order: Order
    stage: Stage | SessionFailure
    """The hub hears of a failure in the same call as of everything else."""
    server: Child | None = None
    """None where it has to wait for the mount."""
    view: Node = BLIND
    """The node as it is from before the walls."""
    facts: Future[Facts] | None = None
    """What is known of the node, as soon as it is."""


def run(stream: BinaryIO) -> int:
    """Reads the order and runs the session; the job's exit code (docs/architecture.md, "The job script")."""
    try:
        order = decode(stream.readline(BODY_LIMIT + 1), Order)
    except BadMessageError:
        sys.stderr.write("renkei: no order on standard input\n")
        return EXIT_BAD_ORDER
    try:
        early = start_server(order)
    except SessionFailure as failure:
        early = Early(order, failure)
    # Not needed for the server's start, and slow to import.
    import asyncio

    from enclave.session import Session

    last = asyncio.run(Session(early).run())
    # Details go to the hub alone: this may end up in a file.
    sys.stderr.write(f"renkei: {last.phase}{f' ({last.reason})' if last.reason else ''}\n")
    return 0 if last.phase is Phase.ENDED else EXIT_FAILED


def start_server(order: Order) -> Early:
    """Prepares the ground, starts a sandbox on it, and has the node looked at meanwhile. Raises SessionFailure.

    The sandbox is the server's own, or, where that has to wait for the mount, one like it that only looks around.
    """
    # Before the process is closed to debuggers, which hides its namespaces from itself too.
    outside = namespaces()
    view = open_node(str(Path.home()))
    ground = _PREPARE[order.mechanism]()
    try:
        return _begin(order, ground, outside, view)
    except BaseException:
        ground.clear()
        raise


def _begin(order: Order, ground: Ground, outside: dict[str, str], view: Node) -> Early:
    node = sandbox.look(ground, order.gpus)
    for name, text in sandbox.etc_files(node).items():
        (ground.places.etc / name).write_text(text, encoding="utf-8")
    server_socket, hub_socket = _listen("server.sock", ground.places), _listen("hub.sock", ground.places)
    home = f"/home/{node.account}"
    environment = early_environment(home, sys.executable, dict(os.environ))
    python, gpus = (sys.executable, "-P", "-m"), str(order.gpus)
    reading, writing = os.pipe()
    listening, telling = str(server_socket.fileno()), "-1" if ground.mount_first else str(writing)
    box = sandbox.describe(order, node, environment, (*python, "enclave.inside", listening, telling, gpus))
    seen, server = box, None
    with open(writing, "wb"):  # noqa: PTH123  (it has no path)
        if ground.mount_first:
            alike = msgspec.structs.replace(node, mounted=False)
            seen = sandbox.describe(order, alike, environment, (*python, "enclave.preflight.probe", str(writing), gpus))
            looking = _start(seen, [writing])
        else:
            with server_socket:
                looking = server = _start(box, [server_socket.fileno(), writing])
    looker = ThreadPoolExecutor(max_workers=1)
    facts = looker.submit(look, order, ground, seen, namespaces=outside, reading=reading, complaint=looking.last_words)

    def start_later() -> Child:
        with server_socket:
            return _start(box, [server_socket.fileno()])

    scrubbing = gpu.scrubber(box) if node.gpu_devices else None
    stage = Stage(ground, home, hub_socket, start_later, scrubbing, gpubusy.numbers(node.gpu_devices))
    return Early(order, stage, server, view, facts)


def _start(box: Sandbox, descriptors: Sequence[int]) -> Child:
    calls = syscalls.descriptor()
    try:
        return Child(sandbox.argv(box, calls), environment=box.environment, descriptors=[*descriptors, calls])
    except OSError as error:
        raise SessionFailure(Reason.SANDBOX_IMPOSSIBLE, f"{error.filename}: {error.strerror}") from error
    finally:
        os.close(calls)


def _listen(name: str, places: Places) -> socket:
    """A listening unix socket.

    The server gets its one as an open descriptor: a path that the sandbox could write to would let a cell put a link to another of
    the node's sockets there, and the doorway would follow it.
    """
    listening = socket(AF_UNIX, SOCK_STREAM)
    path = places.sockets / name
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(128)
    return listening


def placeholder() -> str:
    """What the server has instead of the hub's token: unlike any token, and unlike any other session's."""
    return f"not-a-token-{secrets.token_hex(16)}"
