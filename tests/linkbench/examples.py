"""A report made by hand, for tests that measure nothing."""

from __future__ import annotations

from linkbench.results import KIND, Curve, Cut, Network, Pass, Reading, Report, Together, Trained, Training, Trip, Vision
from linkbench.settings import QUICK


def one_pass(seconds: float) -> Pass:
    return Pass(whole_s=seconds, compute_s=0.9, waited_s=0.1, read_s=0.5, decode_s=0.2, files=4)


def trained(seconds: float) -> Trained:
    curve = Curve(seconds=(1.0, 2.0), training_loss=(1.5, 1.2), validation_loss=(0.9, 0.7))
    return Trained(whole_s=seconds, read_s=1.0, write_s=0.0, waited=0.01, curve=curve)


def report(site: str = "Kyoto", *, slower: float = 1.1, cut: bool = True) -> Report:
    networks = tuple(
        Network(name=name, kind="a net", local=(one_pass(1.0), one_pass(2.0)), mount=(one_pass(slower), one_pass(2 * slower)))
        for name in ("UNet", "ViT")
    )
    runs = tuple(
        Together(side=side, jobs=(trained(seconds),) * count)
        for count, seconds in ((1, 10.0), (4, 30.0))
        for side in ("local", "mount")
    )
    return Report(
        kind=KIND,
        site=site,
        date="2026-11-30T00:00:00+00:00",
        took_s=60.0,
        machine={"processor": "P", "cores": "2", "GPU": "–", "mount": "fuse.sshfs", "local": "ext4"},
        load=(0.5, 1.5),
        settings=QUICK,
        trips=(
            Trip(name="mount", by="stat", least=8.0, mean=8.5, most=9.0, answered=9, failed=0),
            Trip(name="nobody", by="tcp", least=None, mean=None, most=None, answered=0, failed=9),
        ),
        vision=Vision(
            networks=networks,
            readings=(
                Reading(what="read", readers=1, local=(1.0,), mount=(3.0,)),
                Reading(what="read + decode", readers=8, local=(1.0,), mount=(1.25,)),
            ),
            file_bytes=30_000,
            resident={"local": 0.0, "mount": None},
        ),
        training=Training(runs=runs, cases=(4, 1), device="CPU"),
        cut=Cut(
            seconds=(0.0, 1.0, 9.0),
            received=(0, 100, 200),
            begun_s=2.0,
            ended_s=7.0,
            resumed_s=2.0,
            errors=(),
            cases=2,
            different=0,
        )
        if cut
        else None,
    )
