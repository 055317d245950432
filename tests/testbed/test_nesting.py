"""The walls of a session can be built on a node by an ordinary account: namespaces, a mount in them, a sandbox in that."""

import pytest

from testbed.site import Testbed
from tests.testbed.certificates import certify

pytestmark = pytest.mark.site

WALLS = ["unshare", "--user", "--map-current-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--keep-caps"]
SANDBOX = """
set -e
sshfs "$@" -o uid=$(id -u),gid=$(id -g) "$ACCOUNT"@10.77.2.1:/srv/cloud "$PLACE"
grep -c fuse.sshfs /proc/self/mounts
exec setpriv --inh-caps=-all --ambient-caps=-all bwrap --die-with-parent --unshare-all --new-session \
  --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin --dev /dev --proc /proc \
  --tmpfs /tmp --tmpfs /home --bind "$PLACE" /home/cloud \
  sh -c 'ls /home/cloud; echo kept > /home/cloud/people/"$1"/note; tail -n +3 /proc/net/dev | cut -d: -f1' sh "$ACCOUNT"
"""


def test_mount_and_sandbox_nest_inside_a_node_and_leave_nothing(site: Testbed) -> None:
    options = certify(site, "cx01", "rs-tanaka", "jrs0017", "cloud")
    place = "/tmp/certificate-rs-tanaka-cloud/mount"
    node = site.host("cx01")
    node.folder(place, 0o700, "rs-tanaka")
    before = {each.path for each in site.kept("cx01")}

    argv = ["env", f"PLACE={place}", "ACCOUNT=jrs0017", *WALLS, "sh", "-c", SANDBOX, "sh", *options]
    answer = site.run("cx01", argv, user="rs-tanaka", timeout=30)

    mounts, *listed = answer.stdout.split()
    assert mounts == "1", answer.stderr
    assert listed == ["datasets", "people", "lo"], answer.stderr
    note = site.host("cloud").path("/srv/cloud/people/jrs0017/note")
    assert note.read_text() == "kept\n"
    assert note.stat().st_uid == 6017
    note.unlink()

    assert not [each for each in node.processes() if each.uid == 20_101]
    assert "sshfs" not in node.path("/proc/1/mounts").read_text()
    assert {each.path for each in site.kept("cx01")} - before <= {"/var/log/munge/munged.log", "/var/log/slurm/slurmd.log"}
