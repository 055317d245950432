"""Which TCP connections from port 22 of this host carry data, and when the last of it left: run on a host of the testbed.

`python3 -I -S sniff.py INTERFACE` writes `ready`, listens until its input ends, then writes one JSON object: the other side's
port → bytes of data that left, and when the last of them did (CLOCK_MONOTONIC, which all hosts of a testbed share).
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time

_ALL, _IPV4, _OUTGOING, _TCP = 0x0003, 0x0800, 4, 6


def listen(interface: str, left: dict[int, tuple[int, float]]) -> None:
    """Fill `left` for ever."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL)) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_000_000)
        # What leaves is shown to those alone who ask for everything.
        line.bind((interface, _ALL))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            # The heads are enough; what the packet says of its length counts.
            packet, where = line.recvfrom(120)
            if where[1] != _IPV4 or where[2] != _OUTGOING or packet[9] != _TCP:
                continue
            head = (packet[0] & 15) * 4
            length = struct.unpack_from("!H", packet, 2)[0]
            source, target = struct.unpack_from("!HH", packet, head)
            data = length - head - (packet[head + 12] >> 4) * 4
            if source == 22 and data > 0:
                left[target] = (left.get(target, (0, 0.0))[0] + data, time.monotonic())


def main() -> None:
    """Listen until the input ends."""
    left: dict[int, tuple[int, float]] = {}
    threading.Thread(target=listen, args=(sys.argv[1], left), daemon=True).start()
    sys.stdin.read()
    sys.stdout.write(json.dumps(left) + "\n")


if __name__ == "__main__":
    main()
