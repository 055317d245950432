"""What the witnesses of one session say when nothing was left, and the look of one who found something."""

import os

from enclave.messages import EnclaveReport, EpilogReport, Look, Reason, Scrub, Trace
from spawner.residue.statement import CloudPart, HubPart
from tests.spawner.stage import JOB

FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/home/rs-tanaka")
LOOKS = (
    *(Look(trace=Trace.FILES, place=place, seen=True) for place in FOLDERS),
    *(Look(trace=trace, seen=True) for trace in (Trace.IPC, Trace.PROCESSES, Trace.MOUNTS)),
)
FOUND = (*LOOKS[:1], Look(trace=Trace.FILES, place="/var/tmp", seen=True, left=1, size=7), *LOOKS[2:])
HUB = HubPart(
    job=JOB, ended=True, ended_at=30.0, reason=Reason.CANCELLED, began=10.0, gpus=0, certificates=2, first_serial=1, last_serial=2
)
ENCLAVE = EnclaveReport(
    session="abcdefgh12345678", job=JOB, began=10.0, mounted=11.0, unmounted=20.0, reported=21.0, destination="cloud",
    account="jrs0017", path_digest="0" * 64, certificates=2, last_serial=2, traffic=None, looks=LOOKS, gpu=Scrub.NOT_APPLICABLE,
)  # fmt: skip
EPILOG = EpilogReport(
    job=JOB, uid=os.getuid(), node="cx01", reported=22.0, alone=True, looks=LOOKS, gpu=Scrub.NOT_APPLICABLE
)
CLOUD = CloudPart(
    connections=1, open=0, serials=("1",), opened=11.0, last_byte=19.0, closed=20.0, bytes_out=5, bytes_in=6, revoked=False
)
