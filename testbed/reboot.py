"""A gateway forgets its connections, as at a reboot. Run in its network: `python3 -I -S reboot.py`.

Its kernel's table of connections is emptied, and a packet from the middle of one does not make a new entry: it meets a gateway
that knows nothing of it.
"""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

_NETFILTER = 12  # NETLINK_NETFILTER, linux/netlink.h
_DELETE = (1 << 8) | 2  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE: without a tuple, all of them
_REQUEST_ACKNOWLEDGED = 0x05  # NLM_F_REQUEST | NLM_F_ACK
_ERROR = 2  # NLMSG_ERROR, also the acknowledgement


def main() -> int:
    """Forget; the exit code is the kernel's error number."""
    Path("/proc/sys/net/netfilter/nf_conntrack_tcp_loose").write_text("0")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as kernel:
        body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)  # struct nfgenmsg
        kernel.send(struct.pack("=IHHII", 16 + len(body), _DELETE, _REQUEST_ACKNOWLEDGED, 1, 0) + body)
        answer = kernel.recv(4096)
    kind, code = struct.unpack_from("=4xH", answer)[0], struct.unpack_from("=16xi", answer)[0]
    return -code if kind == _ERROR else 1


if __name__ == "__main__":
    sys.exit(main())
