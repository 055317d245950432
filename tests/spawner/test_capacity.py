"""What is free, and which choices can work, out of the watcher's copy of nodes and queue."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from spawner.capacity import free, overall
from spawner.schedulers.base import JobState, JobStatus, NodeStatus
from spawner.schedulers.watcher import Overview
from tests.spawner.stage import DEMO

GROUP = DEMO.resource_group[0]
NOW = 1000.0


def node(name="cx01", *, used=0, gpus=4, idle=16, up=True, limit_s=None, partition="ct-link") -> NodeStatus:
    return NodeStatus(
        node=name, partition=partition, up=up, cpus=16, cpus_idle=idle, gres={"gpu": gpus}, gres_used={"gpu": used}, limit_s=limit_s
    )


def running(ends: float, gpus: int = 1, partition: str = "ct-link") -> JobStatus:
    return JobStatus(state=JobState.RUNNING, ends=ends, gpus=gpus, partition=partition)


def seen(*nodes: NodeStatus, **queue: JobStatus) -> Overview:
    return Overview(nodes=nodes, queue=queue, at=NOW)


def test_gpus_that_nobody_uses_are_free_on_nodes_that_are_up():
    found = free(GROUP, seen(node(used=3), node("cx02", used=1), node("cx03", up=False), node("x", partition="open")), NOW)

    assert (found.gpus, found.free, found.nodes, found.nodes_down) == (8, 4, 3, 1)


def test_a_session_has_to_find_room_on_one_node():
    found = free(GROUP, seen(node(used=2), node("cx02", used=3)), NOW)

    assert found.free == 3
    assert set(found.fits) == {0, 1, 2}
    assert set(found.possible) == {0, 1, 2, 4}


def test_what_no_node_is_large_enough_for_can_t_work():
    assert set(free(GROUP, seen(node(gpus=2)), NOW).possible) == {0, 1, 2}
    assert set(free(replace(GROUP, cpus_per_gpu=8), seen(node()), NOW).possible) == {0, 1, 2}


def test_a_node_that_is_down_may_come_back():
    found = free(GROUP, seen(node(up=False)), NOW)

    assert (found.fits, set(found.possible)) == ((), {0, 1, 2, 4})


def test_processors_can_be_short_where_gpus_are_not():
    assert free(GROUP, seen(node(idle=0)), NOW).fits == ()


def test_a_session_that_takes_a_whole_node_needs_an_empty_one():
    group = replace(GROUP, exclusive=True)

    assert free(group, seen(node(idle=15)), NOW).fits == ()
    assert free(group, seen(node(idle=16)), NOW).fits


def test_hours_beyond_the_batch_system_s_own_limit_can_t_work():
    assert free(GROUP, seen(node(limit_s=2 * 3600.0)), NOW).hours == (1, 2)


def test_the_next_to_end_that_holds_a_gpu_is_the_next_that_frees_one():
    queue = {"1": running(1100, gpus=0), "2": running(1300), "3": running(1200), "4": running(1050, partition="open")}

    assert free(GROUP, seen(node(), **queue), NOW).next_free == 1200.0
    assert free(GROUP, seen(node(), **{"1": queue["1"]}), NOW).next_free == 1100.0
    assert free(GROUP, seen(node(), **{"2": running(900)}), NOW).next_free is None


def test_who_waits_is_counted():
    waits = JobStatus(state=JobState.PENDING, before=0, partition="ct-link,open")
    held = JobStatus(state=JobState.PENDING, partition="ct-link")

    assert free(GROUP, seen(node(), a=waits, b=replace(waits, before=1), c=held), NOW).waiting == 2


def test_of_a_group_that_nobody_has_told_of_nothing_is_known():
    assert overall(DEMO.resource_group, seen(), NOW) == {}
    assert set(overall(DEMO.resource_group, seen(node()), NOW)) == {"ct-link"}


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 16), st.booleans()), min_size=1, max_size=6))
def test_what_fits_now_could_work_and_nothing_negative_is_free(shapes):
    nodes = [node(f"n{at}", gpus=has, used=used, idle=idle, up=up) for at, (has, used, idle, up) in enumerate(shapes)]
    found = free(GROUP, seen(*nodes), NOW)

    assert set(found.fits) <= set(found.possible) <= set(GROUP.gpus)
    assert 0 <= found.free <= found.gpus
