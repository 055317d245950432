"""How long an adapter to a batch system is: docs/pjm.md tells other centres what to expect."""

from __future__ import annotations

import re

from tests.house.test_layout import ROOT

SLURM, PJM = ("slurm.py", "slurm_nodes.py"), ("pjm.py", "pjm_text.py")
LIMIT = 1.3
"""PJM's by Slurm's at the most: past it, something is in the adapter that belongs to all."""


def length(*names: str) -> int:
    """Lines of the files of spawner/schedulers called so."""
    return sum(len((ROOT / "spawner" / "schedulers" / name).read_text().splitlines()) for name in names)


def test_pjms_adapter_is_about_as_long_as_slurms_and_the_page_says_how_long(capsys):
    ratio = length(*PJM) / length(*SLURM)
    with capsys.disabled():
        print(f"\nadapters: Slurm {length(*SLURM)} lines, PJM {length(*PJM)}: {ratio:.2f} times as long")

    assert ratio <= LIMIT
    text = " ".join((ROOT / "docs" / "pjm.md").read_text().split())
    slurm, pjm, said = re.search(r"Slurm's is (\d+) lines \(of them \d+ for nodes\), PJM's (\d+): ([\d.]+) times", text).groups()
    assert abs(int(slurm) / length(*SLURM) - 1) < 0.05
    assert abs(int(pjm) / length(*PJM) - 1) < 0.05
    assert abs(float(said) - ratio) < 0.05
