"""What sinfo says of nodes becomes typed values in one place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spawner.schedulers import slurm_nodes
from spawner.schedulers.base import NodeStatus


def line(**cells: str) -> str:
    """A line of sinfo, as wide as it prints it."""
    said = {"NodeHost": "cx01", "Partition": "ct-link", "StateLong": "mixed", "Available": "up", "Time": "1-00:00:00"}
    said |= {"CPUsState": "2/14/0/16", "Gres": "gpu:v100:4(S:0-1)", "GresUsed": "gpu:v100:3(IDX:0-1,3)"} | cells
    return "".join(said[name][:width].ljust(width) for name, width in slurm_nodes.WIDTHS.items()) + "\n"


def test_a_node_is_read():
    assert slurm_nodes.parse(line()) == (
        NodeStatus(
            node="cx01",
            partition="ct-link",
            up=True,
            cpus=16,
            cpus_idle=14,
            gres={"gpu": 4, "gpu:v100": 4},
            gres_used={"gpu": 3, "gpu:v100": 3},
            limit_s=86_400.0,
        ),
    )


@pytest.mark.parametrize(
    ("state", "available", "up"),
    [
        ("idle", "up", True),
        ("allocated+", "up", True),
        ("idle~", "up", True),
        ("idle*", "up", False),
        ("down*", "up", False),
        ("draining", "up", False),
        ("dreaming", "up", False),
        ("idle", "down", False),
        ("idle", "drain", False),
    ],
)
def test_only_a_node_that_takes_jobs_is_up(state, available, up):
    assert slurm_nodes.parse(line(StateLong=state, Available=available))[0].up is up


@pytest.mark.parametrize("wrong", [{"CPUsState": "N/A"}, {"CPUsState": "1/2/3"}, {"NodeHost": ""}, {"StateLong": "?!"}])
def test_a_line_of_no_node_is_left_out(wrong):
    assert slurm_nodes.parse(line(**wrong) + line(NodeHost="cx02")) == slurm_nodes.parse(line(NodeHost="cx02"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpu:4", {"gpu": 4}),
        ("gpu:(null):2(IDX:0-1)", {"gpu": 2}),
        ("gpu:a100:2(S:0),gpu:v100:1(S:1),lustre:5", {"gpu": 3, "gpu:a100": 2, "gpu:v100": 1, "lustre": 5}),
        ("gres:gpu:2", {"gpu": 2}),
        ("gres/gpu:v100=3", {"gpu": 3, "gpu:v100": 3}),
        ("(null)", {}),
        ("N/A", {}),
        ("gpu", {}),
        ("", {}),
    ],
)
def test_resources_are_read(text, found):
    assert slurm_nodes.gres(text) == found


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30:00", 1800.0), ("1:30:00", 5400.0), ("2-00:00:00", 172_800.0), ("infinite", None), ("n/a", None), ("", None)],
)
def test_a_time_limit_is_read(text, seconds):
    assert slurm_nodes.limit(text) == seconds


@given(st.text() | st.text(alphabet="gpuv10:/(),-* \n", max_size=400))
def test_any_text_is_read_without_an_exception(text):
    for node in slurm_nodes.parse(text):
        assert node.node
        assert node.cpus >= 0
    assert all(number >= 0 for number in slurm_nodes.gres(text).values())
    slurm_nodes.limit(text)


COUNTS = st.integers(0, 999)


@given(COUNTS, COUNTS, st.sampled_from(["", ":v100", ":a100-sxm4-80gb"]), st.sampled_from(["", "(S:0-1)", "(IDX:0,2-3)"]))
def test_what_sinfo_says_is_what_is_read(total, used, kind, where):
    node = slurm_nodes.parse(line(Gres=f"gpu{kind}:{total}{where}", GresUsed=f"gpu{kind}:{used}{where}"))[0]

    assert (node.gres["gpu"], node.gres_used["gpu"]) == (total, used)
    assert node.gres.get(f"gpu{kind}") == total
