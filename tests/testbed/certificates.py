"""A person's way into a destination, made by hand: what authority and enclave do together in a session."""

from __future__ import annotations

import hashlib
import tomllib

from testbed import owner
from testbed.site import Testbed


def certify(site: Testbed, host: str, user: str, account: str, destination: str) -> list[str]:
    """Give `user` on `host` a certificate for `account` at `destination`; the options of ssh and sftp that use it."""
    folder = f"/tmp/certificate-{user}-{destination}"
    node, hub = site.host(host), site.host("hub")
    site.run(host, ["rm", "-rf", folder], check=True)
    node.folder(folder, 0o700, user)
    node.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{folder}/id"], user=user, check=True)

    hub.folder("/tmp/signing", 0o700, "renkei-authority")
    hub.write("/tmp/signing/key.pub", node.path(f"{folder}/id.pub").read_text(), 0o600, "renkei-authority")
    table = tomllib.loads(hub.path("/etc/renkei/authority.toml").read_text())
    ca_key = next(each["ca_key"] for each in table["destination"] if each["name"] == destination)
    options = ["-O", "clear", "-O", "force-command=internal-sftp", "-O", "source-address=10.77.3.1/32"]
    session = hashlib.sha256(f"{user} {destination} {account}".encode()).hexdigest()[:16]
    owner.vouch(site.host(destination), session, account)
    signing = ["ssh-keygen", "-q", "-s", ca_key, "-I", f"session={session}", "-z", "7", "-n", account, "-V", "-1m:+15m", *options]
    hub.run([*signing, "/tmp/signing/key.pub"], user="renkei-authority", check=True)

    node.write(f"{folder}/id-cert.pub", hub.path("/tmp/signing/key-cert.pub").read_text(), 0o600, user)
    pinned = hub.path(f"/etc/renkei/host_keys/{destination}").read_text()
    node.write(f"{folder}/known_hosts", f"{destination} {pinned}", 0o600, user)
    settings = {
        "IdentityFile": f"{folder}/id",
        "CertificateFile": f"{folder}/id-cert.pub",
        "UserKnownHostsFile": f"{folder}/known_hosts",
        "HostKeyAlias": destination,
        "BatchMode": "yes",
        "ConnectTimeout": "5",
    }
    port = {"cloud": "2201", "kashiwa": "2202"}[destination]
    return ["-F", "none", "-o", f"Port={port}", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
