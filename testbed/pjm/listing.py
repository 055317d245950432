"""What pjstat prints of jobs: tables, chosen columns, comma-separated data, statistics; pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence

from testbed.pjm.job import Job
from testbed.pjm.said import RefusedError
from testbed.pjm.switches import Switches

JST = dt.timezone(dt.timedelta(hours=9))

COLUMNS = {
    "jid": ("JOB_ID", 10), "jnam": ("JOB_NAME", 10), "jmdl": ("MD", 2), "st": ("ST", 3), "usr": ("USER", 8), "grp": ("GROUP", 8),
    "sdt": ("START_DATE", 15), "elp": ("ELAPSE_TIM", 10), "elpl": ("ELAPSE_LIM", 21), "nnumr": ("NODE_REQUIRE", 15),
    "vnnuma": ("VNODE", 6), "vcnuma": ("CORE", 4), "vmema": ("V_MEM", 12), "vpol": ("V_POL", 5), "epol": ("E_POL", 5),
    "rankm": ("RANK", 9), "lst": ("LST", 3), "ec": ("EC", 3), "pc": ("PC", 3), "sn": ("SN", 2), "pri": ("PRI", 3),
    "adt": ("ACCEPT", 14), "rscg": ("RSC_GRP", 8), "ermsg": ("REASON", 16),
}  # fmt: skip
"""Item of --choose → heading and width, measured on a real terminal's log."""
PLAIN = ("jid", "jnam", "jmdl", "st", "usr", "sdt", "elpl", "nnumr", "vnnuma", "vcnuma", "vmema")
CUT = {"jnam": 10, "usr": 8, "grp": 8, "rscg": 8, "ermsg": 16}
"""Where a table cuts off what is longer."""
LONG = {"jid": "JOB ID", "st": "STATE", "ec": "EXIT CODE", "jnam": "JOB NAME", "sdt": "JOB START DATE", "ermsg": "REASON"}

SUMMARY = ("ACCEPT", "QUEUED", "RUNING", "RUNOUT", "HOLD", "ERROR", "SUSPND", "REJECT", "EXIT", "CANCEL", "TOTAL")
_SUMMED = {"ACC": 0, "QUE": 1, "RNA": 2, "RNP": 2, "RUN": 2, "RNE": 3, "RNO": 3, "HLD": 4, "ERR": 5, "RJT": 7, "EXT": 8, "CCL": 9}
_IDS = re.compile(r"(\d{1,10})(?:-(\d{1,10}))?(?:\[\d+(?:-\d+)?\]|_\d+(?:-\d+)?)?", re.ASCII)


def chosen(text: str) -> list[str]:
    """Those of the items named in `text` that there are; the others are dropped without a word."""
    return [item for item in text.split(",") if item in COLUMNS]


def wanted(operands: Sequence[str]) -> list[range]:
    """The ids that operands mean, one number or a range each. Raises RefusedError."""
    found = []
    for operand in operands:
        read = _IDS.fullmatch(operand)
        if read is None:
            raise RefusedError("11", f"Invalid jobid: {operand}.")
        found.append(range(int(read[1]), int(read[2] or read[1]) + 1))
    return found


def cell(job: Job, item: str, now: float) -> str:
    """One value, uncut."""
    begun = dt.datetime.fromtimestamp(job.begun or now, JST)
    values = {
        "jid": str(job.number), "jnam": job.name, "jmdl": "NM", "st": job.state, "usr": job.user, "grp": job.group,
        "rscg": job.rscgrp, "lst": job.last, "ec": str(job.code), "pc": str(job.pjm_code), "sn": str(job.signal), "pri": "127",
        "ermsg": job.reason, "elp": clock(job.elapsed(now)), "elpl": clock(job.elapse) if job.elapse else "-",
        "sdt": f"{begun:%m/%d %H:%M:%S}" if job.begun else f"({begun:%m/%d %H:%M})" if job.state in {"RNA", "RNP"} else "-",
        "nnumr": str(job.nodes) if job.nodes else "-", "vnnuma": "-" if job.nodes else "1",
        "vcnuma": "-" if job.nodes else str(job.cores or 1),
        "vmema": "-" if job.nodes else "4096 MiB", "vpol": "-", "epol": "-", "rankm": "bychip",
        "adt": f"{dt.datetime.fromtimestamp(job.accepted, JST):%m/%d %H:%M:%S}",
    }  # fmt: skip
    return values[item]


def clock(seconds: int) -> str:
    """`HHHH:MM:SS`."""
    return f"{seconds // 3600:04}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def table(jobs: Sequence[Job], items: Sequence[str], now: float, switches: Switches, *, padded: bool = True) -> str:
    """Columns with one space between them."""
    if not jobs and not switches.heading_without_rows:
        return ""

    def line(values: Sequence[str]) -> str:
        widths = [COLUMNS[item][1] if padded else 0 for item in items]
        cells = zip(values, items, widths, strict=True)
        return " ".join(value[: CUT.get(item, 99)].ljust(width) for value, item, width in cells) + "\n"

    heading = line([COLUMNS[item][0] for item in items])
    return heading + "".join(line([cell(job, item, now) for item in items]) for job in jobs)


def data(jobs: Sequence[Job], items: Sequence[str], now: float, switches: Switches, delimiter: str = ",") -> str:
    """`H,…` and a line `,…` a job."""
    if not jobs and not switches.heading_without_rows:
        return ""
    names = [LONG.get(item, COLUMNS[item][0]) if switches.long_headings else COLUMNS[item][0] for item in items]
    lines = [["H", *names]]
    for job in jobs:
        cells = [(item, cell(job, item, now)) for item in items]
        cells = [(item, value[: CUT.get(item, 99)] if switches.cut_in_data else value) for item, value in cells]
        # As it was seen: a date that is one stands behind a blank.
        lines.append(["", *(f" {value}" if item == "sdt" and value != "-" else value for item, value in cells)])
    return "".join(delimiter.join(each) + "\n" for each in lines)


def summary(jobs: Sequence[Job]) -> str:
    """How many jobs are in which state, without and with sub-jobs."""
    counts = [0] * len(SUMMARY)
    for job in jobs:
        counts[_SUMMED.get(job.state, 6)] += 1
        counts[-1] += 1
    row = " ".join(f"{count:6}" for count in counts)
    return "  " + " ".join(f"{name:6}" for name in SUMMARY).rstrip() + f"\n  {row}\ns {row}\n"


def statistics(job: Job, now: float) -> str:
    """What -s tells of one job."""
    spent = job.elapsed(now)
    lines = {
        "JOB ID": str(job.number), "JOB NAME": job.name, "JOB TYPE": "BATCH", "USER": job.user, "GROUP": job.group,
        "RESOURCE GROUP": job.rscgrp, "STATE": job.state, "LAST STATE": job.last, "PRIORITY": "127 <DEFAULT>",
        "EXIT CODE": str(job.code), "SIGNAL NO": str(job.signal), "PJM CODE": str(job.pjm_code), "REASON": job.reason,
        "COMMENT": job.comment or "-", "ELAPSE TIME (LIMIT)": f"{clock(job.elapse)} ({job.elapse})",
        "ELAPSE TIME (USE)": f"{clock(spent)} ({spent})", "STD OUT FILE": job.output, "NODE ID (USE)": "0x01010010",
    }  # fmt: skip
    width = max(map(len, lines))
    return "".join(f" {name.ljust(width)} : {value}\n" for name, value in lines.items()) + "-" * 60 + "\n"


def of_a_wrapper(jobs: Sequence[Job]) -> str:
    """As one centre's own program prints jobs; it knows no --data."""
    words = {"QUE": "QUEUED", "RUN": "RUNNING", "EXT": "END", "CCL": "CANCEL", "HLD": "HOLD", "ERR": "ERROR"}
    lines = ["Wisteria/BDEC-01 scheduled stop time: 2030/03/31(Fri) 09:00:00 (Remain: 99days)", ""]
    lines.append("JOB_ID       JOB_NAME   STATUS  PROJECT    RSCGROUP         START_DATE        ELAPSE       TOKEN     NODE  GPU")
    lines += [f"{job.number:<12} {job.name[:10]:10} {words.get(job.state, job.state):7} gr58{job.rscgrp}_n1" for job in jobs]
    return "\n".join(lines) + "\n"
