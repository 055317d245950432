"""A long line between gateway and destinations, for kernels without netem: two tap devices and the time between them.

Run as `python3 -I -S line.py MARK GATEWAY_PID SWITCH_PID BRIDGE DELAYS`. One tap becomes the gateway's leg `sinet`, the other a
port of the switch; every frame waits half a round trip on its way. DELAYS is a JSON file, IPv4 address of a destination →
round trip in milliseconds; it is read again at SIGHUP. It answers `ready` on stdout.

Frames keep the kernel's segmentation offload (virtio-net header), so one read moves up to 64 KiB and TCP is the two ends' own:
its window, its resets and its silence pass through unchanged, which a forwarder of streams could not offer.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path

# linux/if_tun.h, linux/virtio_net.h, linux/sched.h
_TUNSETIFF, _TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_TUN_F_CSUM, _TUN_F_TSO4 = 0x01, 0x02
_NEWNET = 0x40000000
_HEADER = 10
"""Bytes of the virtio-net header before the Ethernet frame."""
_IPV4 = b"\x08\x00"
_FRAME_LIMIT = _HEADER + 14 + 65_536
_SMALL = 16_384
"""Smaller frames are copied to their size; larger ones keep the buffer that they were read into (half the CPU time)."""
_QUEUE_LIMIT = 64 << 20
"""Bytes of memory for frames under way in one direction; what does not fit is lost, as on a real line."""


class Direction:
    """One way of the line: frames in the order of their arrival, each with the time when it may leave."""

    def __init__(self, source: int, target: int, address_at: int) -> None:
        """`address_at` is where in the IPv4 header the destination's address stands: 12 as source, 16 as target."""
        self.source, self.target = source, target
        self._address = slice(_HEADER + 14 + address_at, _HEADER + 14 + address_at + 4)
        self._queues: dict[bytes, deque[tuple[float, bytes | bytearray, int]]] = {}
        self._queued = 0
        self._free: list[bytearray] = []

    def take(self, delays: dict[bytes, float]) -> None:
        """Read what has arrived, at most some frames so that the other direction has its turn."""
        for _ in range(32):
            buffer = self._free.pop() if self._free else bytearray(_FRAME_LIMIT)
            try:
                size = os.readv(self.source, [buffer])
            except BlockingIOError:
                self._free.append(buffer)
                return
            place = bytes(buffer[self._address]) if buffer[_HEADER + 12 : _HEADER + 14] == _IPV4 else b""
            frame: bytes | bytearray = bytes(memoryview(buffer)[:size]) if size < _SMALL else buffer
            fits = self._queued + len(frame) <= _QUEUE_LIMIT
            if frame is not buffer or not fits:
                self._free.append(buffer)
            if not fits:
                continue
            # Each destination has its own queue: the shorter line is not held up by the longer one.
            due = time.monotonic() + delays.get(place, 0.0) / 2
            self._queues.setdefault(place, deque()).append((due, frame, size))
            self._queued += len(frame)

    def give(self) -> None:
        """Send every frame whose time has come."""
        now = time.monotonic()
        for queue in self._queues.values():
            while queue and queue[0][0] <= now:
                _, frame, size = queue.popleft()
                # A full or vanished device loses the frame; TCP sends it again.
                with contextlib.suppress(OSError):
                    os.write(self.target, memoryview(frame)[:size])
                self._queued -= len(frame)
                if isinstance(frame, bytearray):
                    self._free.append(frame)

    def next_due(self) -> float:
        """When the next frame leaves (monotonic seconds); infinity if none waits."""
        return min((queue[0][0] for queue in self._queues.values() if queue), default=float("inf"))


def _enter_network(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open() as space:
        if libc.setns(space.fileno(), _NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "can't enter the network of", str(pid))


def _open_tap(name: str) -> int:
    """A tap device `name` in this process's network, up, as a non-blocking descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
    fcntl.ioctl(descriptor, _TUNSETVNETHDRSZ, struct.pack("i", _HEADER))
    fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _TUN_F_CSUM | _TUN_F_TSO4)
    subprocess.run(["ip", "link", "set", "dev", name, "txqueuelen", "10000", "up"], check=True)
    return descriptor


def _read_delays(path: Path) -> dict[bytes, float]:
    """Address as four bytes → round trip in seconds."""
    return {bytes(map(int, address.split("."))): round_trip / 1000 for address, round_trip in json.loads(path.read_text()).items()}


def _run(directions: tuple[Direction, Direction], path: Path) -> None:
    delays = _read_delays(path)
    waking, _ = wake = os.pipe2(os.O_NONBLOCK)
    signal.set_wakeup_fd(wake[1])
    signal.signal(signal.SIGHUP, lambda *_: None)
    sources = [direction.source for direction in directions]
    while True:
        pause = min(direction.next_due() for direction in directions) - time.monotonic()
        readable, _, _ = select.select([*sources, waking], [], [], max(0.0, min(pause, 60.0)))
        if waking in readable:
            os.read(waking, 64)
            delays = _read_delays(path)
        for direction in directions:
            if direction.source in readable:
                direction.take(delays)
            direction.give()


def main() -> int:
    """Lay the line and carry frames until killed."""
    _, _, gateway, switch, bridge, delays = sys.argv
    _enter_network(int(gateway))
    near = _open_tap("sinet")
    _enter_network(int(switch))
    far = _open_tap("sinet-gw")
    subprocess.run(["ip", "link", "set", "dev", "sinet-gw", "master", bridge], check=True)
    # Its time is everybody's time: it goes before the work that it carries.
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    _run((Direction(near, far, address_at=16), Direction(far, near, address_at=12)), Path(delays))
    return 0


if __name__ == "__main__":
    sys.exit(main())
