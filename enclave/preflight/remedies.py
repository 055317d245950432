"""What an administrator does about each finding; docs/administrator.en.md says more, and a test holds the two together."""

from __future__ import annotations

from enclave.messages import Check

REMEDIES: dict[Check, str] = {
    Check.NAMESPACES: "Let ordinary users make user namespaces: see user.max_user_namespaces, and AppArmor's rules.",
    Check.MECHANISM: "Install what the site's mechanism needs, or choose another mechanism in the site file.",
    Check.FUSE: "Load the module fuse, and give /dev/fuse mode 0666.",
    Check.SSHFS: "Install sshfs 3.7.6 or later, or a distribution's build that knows contain_symlinks.",
    Check.SSH: "Install OpenSSH 8.2 or later with Ed25519 and aes128-gcm@openssh.com.",
    Check.TIMEOUTS: "Set fs.fuse.default_request_timeout and fs.fuse.max_request_timeout to 0.",
    Check.SWAP: "swapoff -a on these nodes, or let Slurm set memory.swap.max=0 (ConstrainSwapSpace=yes, AllowedSwapSpace=0).",
    Check.CORES: "Set kernel.core_pattern to a plain file name on these nodes, not to a program or a socket.",
    Check.CRASHES: "Set debug.exception-trace to 0 on these nodes (sysctl).",
    Check.SANDBOX: "Install bubblewrap and util-linux (setpriv), and what the site file names under [node], at the same path.",
    Check.WALLS: "Tell the makers of Renkei: the sandbox shows something that it must not.",
    Check.GPU: (
        "Check the driver (nvidia-smi), the modes of /dev/nvidia*, and that the batch system gives the job its own devices "
        "and no others. Where it can't, offer whole nodes alone, with all their GPUs."
    ),
    Check.TORCH: "Install a torch that is built for these GPUs, or use another partition.",
}
