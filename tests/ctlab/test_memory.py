"""What a job may still take, from the files and settings that it can see."""

from __future__ import annotations

from pathlib import Path

import pytest
from ctlab import memory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

GB = 10**9


def tree(root: Path, **files: str) -> Path:
    """A root with `files`; two underscores stand for a slash."""
    for name, text in {"proc__meminfo": f"MemTotal: 99 kB\nMemAvailable: {50 * GB // 1000} kB\n", **files}.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_laptop_has_what_is_available(tmp_path):
    assert memory.free(tree(tmp_path), {}) == 50 * GB // 1000 * 1024


def test_the_narrowest_cgroup_above_a_process_counts_and_its_page_cache_makes_way(tmp_path):
    root = tree(tmp_path, proc__self__cgroup="1:name=systemd:/other\n0::/slurm/job_7/step_0\n")
    groups = (("slurm/job_7/step_0", "max", 2 * GB), ("slurm/job_7", 16 * GB, 3 * GB), ("slurm", 64 * GB, 9 * GB))
    for folder, limit, taken in groups:
        group = root / "sys/fs/cgroup" / folder
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.max").write_text(f"{limit}\n")
        (group / "memory.current").write_text(f"{taken}\n")
        (group / "memory.stat").write_text(f"anon 5\ninactive_file {GB}\n")
    assert memory.free(root, {}) == (16 - 3 + 1) * GB


def test_version_1_tells_the_same_in_other_words(tmp_path):
    root = tree(tmp_path, proc__self__cgroup="9:cpu,memory:/job\n")
    for folder, limit in (("job", 8 * GB), (".", 9223372036854771712)):
        group = root / "sys/fs/cgroup/memory" / folder
        group.mkdir(parents=True, exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (group / "memory.usage_in_bytes").write_text(f"{GB}\n")
    assert memory.free(root, {}) == 7 * GB


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ({"SLURM_MEM_PER_NODE": "8192"}, 8 * 2**30),
        ({"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_ON_NODE": "4"}, 4 * 2**30),
        ({"CTLAB_MEMORY": "1000000000", "SLURM_MEM_PER_NODE": "8192"}, GB),
    ],
)
def test_the_batch_systems_and_the_sessions_own_limit_count_less_what_is_taken(tmp_path, said, limit):
    root = tree(tmp_path, proc__self__status="Name: x\nVmRSS:   100000 kB\n")
    assert memory.free(root, said) == limit - 100_000 * 1024


@pytest.mark.parametrize("said", [{"SLURM_MEM_PER_NODE": "0"}, {"CTLAB_MEMORY": "much"}, {"CTLAB_MEMORY": "-5"}])
def test_a_limit_that_is_none_is_none(tmp_path, said):
    assert memory.free(tree(tmp_path), said) == 50 * GB // 1000 * 1024


def test_more_taken_than_allowed_leaves_nothing(tmp_path):
    assert memory.free(tree(tmp_path, proc__self__status="VmRSS: 4000000 kB\n"), {"CTLAB_MEMORY": "1000"}) == 0


def test_where_nothing_tells_nothing_is_known(tmp_path):
    assert memory.free(tmp_path, {}) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_read_without_harm(tmp_path, one, other):
    root = tree(tmp_path, proc__self__cgroup=one, proc__self__status=other, proc__meminfo=other)
    found = memory.free(root, {"CTLAB_MEMORY": one})
    assert found is None or found >= 0
