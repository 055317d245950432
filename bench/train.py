"""`bin/bench train`: steps a second of our training loop ÷ MONAI's fast recipe, with the plain tutorial's loop beside it."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import monai.transforms as mt
import nibabel
import numpy as np
import torch
from ctlab.cohort import Cohort
from ctlab.crew import Crew
from ctlab.network import HIGH_HU, LOW_HU, PRESETS, Preset, build
from ctlab.phantoms import Marking, make_cohort
from ctlab.precision import Precision, checked
from ctlab.resample import Prepared, prepare, working_shape
from ctlab.shares import settled, wanted_processes
from ctlab.tiers import Tiers
from ctlab.trainer import Trainer
from ctlab.waytrial import tried
from monai.data import CacheDataset, DataLoader, Dataset, ThreadDataLoader, set_track_meta
from monai.losses import DiceCELoss
from monai.networks.nets import VNet
from monai.utils import set_determinism
from torch.utils.flop_counter import FlopCounterMode

from bench.ratio import ratio_of
from bench.report import Report, say

CLASSES, ROUNDS, STEPS, MATRIX = 2, 8, 2, 8192
"""Lung and none; pairs; steps in a turn of each; side of the matrices by which a GPU's rate is measured."""

Step = Callable[[], object]


def ours(preset: Preset, cases: Sequence[Prepared], where: torch.device, precision: Precision) -> Trainer:
    """What makes the steps of `ctlab.train`."""
    learn = Tiers.of(cases)
    # As in a training, where half of the device's memory is free for them.
    if where.type == "cuda":
        learn.to_device(where, sum(case.nbytes for case in cases))
    return Trainer(preset, learn, Tiers.of(cases[:1]), {1: "lung"}, seed=1, where=where, precision=precision)


def _chosen_way(trainer: Trainer) -> dict[str, object]:
    """Has `trainer` compute as a long training on its device would, and tells what was tried."""
    found = tried(trainer.network, trainer.preset, trainer.where, trainer.precision)
    if found.way is not None:
        trainer.take(found.way)
    times = {str(way): round(seconds, 5) for way, seconds in found.times.items()}
    return {"way": str(found.way), "tried_pass_s": times, "failed": {str(way): why for way, why in found.failed.items()}}


def _by_all_gpus(trainer: Trainer, steps: int, rounds: int) -> dict[str, object]:
    """The same steps by a process for each GPU of the machine."""
    trainer.preset, count, told = settled(trainer.preset, wanted_processes(None, trainer.where), fresh=True, gpus=True)
    for each in told:
        say(each)
    if count == 1:
        return {"processes": 1}
    try:
        trainer.join(Crew(trainer.network, trainer.precision, trainer.where, processes=count, seed=trainer.seed, way=trainer.way))
        _timed(trainer.step, 2, trainer.where)
        step_s = statistics.median(_timed(trainer.step, steps, trainer.where) for _ in range(rounds)) / steps
    finally:
        trainer.close()
    patches = trainer.preset.batch * trainer.preset.accumulate
    return {"processes": count, "processes_step_s": round(step_s, 4), "processes_patches_a_second": round(patches / step_s, 2)}


def monais(preset: Preset, batches: Iterator[Any], where: torch.device, precision: Precision) -> Step:
    """The loop of MONAI's tutorials around the batches of one of their loaders: the same network, optimizer and loss function."""
    network = VNet(3, 1, CLASSES, dropout_prob_down=0.0, dropout_prob_up=(0.0, 0.0)).to(where)
    optimizer = torch.optim.SGD(network.parameters(), preset.learning_rate, momentum=0.9, nesterov=True, weight_decay=1e-4)
    loss_of = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    scaler = torch.amp.GradScaler(where.type, enabled=precision.scaled)

    def step() -> None:
        batch = next(batches)
        image, label = batch["image"].to(where), batch["label"].to(where)
        optimizer.zero_grad()
        with torch.autocast(where.type, precision.dtype, enabled=precision.mixed):
            loss = loss_of(network(image), label)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    return step


def _endless(loader: Any) -> Iterator[Any]:  # noqa: ANN401  (a loader of MONAI, which has no types)
    while True:
        yield from loader


def _random(preset: Preset) -> list[Any]:
    crop = mt.RandCropByPosNegLabeld(
        ["image", "label"], "label", (preset.patch,) * 3, pos=1, neg=1, num_samples=preset.batch, allow_smaller=False
    )
    return [crop]


def _scaled() -> Any:  # noqa: ANN401
    return mt.ScaleIntensityRanged(["image"], LOW_HU, HIGH_HU, -1.0, 1.0, clip=True)


def fast(preset: Preset, files: Sequence[dict[str, str]], where: torch.device) -> Iterator[Any]:
    """As MONAI's fast training guide: everything that isn't random is kept, on the device; no worker processes, no metadata."""
    kept = [
        mt.LoadImaged(["image", "label"], ensure_channel_first=True),
        _scaled(),
        mt.EnsureTyped(["image", "label"], device=where),
    ]
    data = CacheDataset(files, mt.Compose([*kept, *_random(preset)]), progress=False)
    return _endless(ThreadDataLoader(data, num_workers=0, batch_size=1, shuffle=True))


def plain(preset: Preset, files: Sequence[dict[str, str]]) -> Iterator[Any]:
    """As MONAI's first tutorials: each case is read again each time."""
    steps = [mt.LoadImaged(["image", "label"], ensure_channel_first=True), _scaled(), *_random(preset)]
    return _endless(DataLoader(Dataset(files, mt.Compose(steps)), batch_size=1, shuffle=True, num_workers=0))


def _files(folder: Path, cases: Sequence[Prepared]) -> list[dict[str, str]]:
    """The cases as NIfTI on the working grid, so that all loops see the same voxels."""
    found = []
    for case in cases:
        names = {"image": f"{folder}/{case.name}.nii.gz", "label": f"{folder}/{case.name}-label.nii.gz"}
        # `prepare` keeps sides below a patch; MONAI's crop needs them whole.
        for array, name in ((case.hu.numpy(), names["image"]), (case.labels.numpy(), names["label"])):
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), name)
        found.append(names)
    return found


def _timed(step: Step, steps: int, where: torch.device) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    if where.type == "cuda":
        torch.cuda.synchronize(where)
    return time.perf_counter() - begun


def _flops(preset: Preset) -> float:
    """Of one step's convolutions: three times those of the forward pass."""
    network, side = build(CLASSES, preset.kind), preset.patch
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network.to("meta")(torch.zeros(preset.batch, 1, side, side, side, device="meta"))
    return 3.0 * counter.get_total_flops()


def _matmul_rate(where: torch.device) -> float:
    """Operations a second of bfloat16 matrix products: what the device can do at best."""
    one = torch.randn(MATRIX, MATRIX, device=where, dtype=torch.bfloat16)
    _timed(lambda: one @ one, 3, where)
    return 10 * 2.0 * MATRIX**3 / _timed(lambda: one @ one, 10, where)


def main() -> int:
    """Measure, and print the report."""
    parser = argparse.ArgumentParser(prog="bin/bench train", description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    where = torch.device(given.device)
    big = where.type == "cuda"
    preset = replace(PRESETS["vnet"], patch=96, batch=4, spacing_mm=1.5) if big else PRESETS["vnet"]
    steps = 20 if big else STEPS
    set_determinism(1)
    set_track_meta(False)
    precision, _ = checked(where)
    with tempfile.TemporaryDirectory(prefix="bench-train-") as name:
        folder = Path(name)
        make_cohort(folder / "cohort", 4, 1, 5, (256, 256, 192) if big else (96, 96, 80), marking=Marking.LUNGS)
        cohort = Cohort(folder / "cohort")
        cases = [
            prepare(case.name, ct.voxels, labels.voxels, working_shape(ct.geometry, preset.spacing_mm))
            for case, ct, labels in cohort.loaded(cohort.train)
        ]
        files = _files(folder, cases)
        trainer = ours(preset, cases, where, precision)
        way = _chosen_way(trainer) if big else {}
        loops: dict[str, Step] = {
            "ours": trainer.step,
            "fast": monais(preset, fast(preset, files, where), where, precision),
            "plain": monais(preset, plain(preset, files), where, Precision(torch.float32)),
        }
        times: dict[str, list[float]] = {each: [] for each in loops}
        for each, step in loops.items():
            say(f"{each}: warm after {_timed(step, 2, where):.1f} s")
        for number in range(given.rounds):
            # The order changes, so that a slow minute of the machine meets all of them.
            order = list(loops)[number % 3 :] + list(loops)[: number % 3]
            for each in order:
                times[each].append(_timed(loops[each], steps, where))
            say(f"round {number + 1}: " + ", ".join(f"{each} {times[each][-1] / steps:.2f} s a step" for each in loops))
        # Last, and beside the comparison: the fast recipe has one GPU.
        processes = _by_all_gpus(trainer, steps, given.rounds) if big else {}
    against_fast, against_plain = ratio_of(times["fast"], times["ours"]), ratio_of(times["plain"], times["ours"])
    step_s = statistics.median(times["ours"]) / steps
    detail: dict[str, object] = {
        "device": torch.cuda.get_device_name(where) if big else f"CPU, {torch.get_num_threads()} threads",
        "dtype": str(precision),
        "patch": preset.patch,
        "batch": preset.batch,
        "bounds_95": [against_fast.low, against_fast.high],
        "against_plain": {"median": against_plain.median, "bounds_95": [against_plain.low, against_plain.high]},
        "step_s": {each: round(statistics.median(found) / steps, 4) for each, found in times.items()},
        "patches_a_second": round(preset.batch / step_s, 2),
        **way,
        **processes,
    }
    if big:
        rate = _matmul_rate(where)
        detail |= {"matmul_tflops": round(rate / 1e12, 1), "share_of_matmul": round(_flops(preset) / step_s / rate, 4)}
    Report(
        bench="train", value=against_fast.median, unit="ours ÷ fast recipe, steps a second", better="higher", detail=detail
    ).print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
