"""A training's inside: everything that changes from step to step, so that all of it can be written down and taken up again."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ctlab.augment import augmented
from ctlab.background import Progress
from ctlab.checkpoints import own_random, random_state, restore_random
from ctlab.errors import CtlabError
from ctlab.examples import Examples, Gallery
from ctlab.feed import Feed
from ctlab.forecast import smaller
from ctlab.history import Epoch, from_plain, plain
from ctlab.inference import Model
from ctlab.judging import mean_dice
from ctlab.loss import dice_ce
from ctlab.network import Preset, build, normalised
from ctlab.passes import Step, seed_pass
from ctlab.precision import PLAIN, Precision
from ctlab.sampling import Sampler
from ctlab.text import say
from ctlab.tiers import Tier, Tiers
from ctlab.waits import Waits
from ctlab.ways import Forward, Way, taken
from phrases import N_

if TYPE_CHECKING:
    from ctlab.crew import Crew

MOMENTUM, WEIGHT_DECAY, WARM_UP = 0.9, 1e-4, 0.15
"""Of the optimizer, and the part of the steps in which the learning rate rises."""


class DivergedError(CtlabError):
    """A training whose numbers have become none."""


class Trainer:
    """Network, optimizer, schedule, sampler and curve of one training; `state` and `restore` hold all of it.

    From the same state on the same device the same follows, bit for bit where the device's sums come in a fixed order (a CPU with
    the same number of threads). The process's own random numbers are used for the first weights and for dropout alone.
    """

    def __init__(
        self,
        preset: Preset,
        learn: Tiers,
        judge: Tiers,
        names: Mapping[int, str],
        *,
        seed: int,
        where: torch.device,
        precision: Precision = PLAIN,
        tell: Callable[[str], object] = print,
    ) -> None:
        """`tell` hears when memory is short and a step is made in smaller parts."""
        self.preset, self.where, self.precision, self.learn, self.judge = preset, where, precision, learn, judge
        self.seed, self._tell = seed, tell
        self._values = list(names)
        with own_random(where):
            torch.manual_seed(seed)
            self.network = build(len(names) + 1, preset.kind).to(where)
        self._forward: Forward = self.network
        self.way: Way | None = None
        """In which the passes are computed, where another was chosen than the network is built in."""
        self._averaged = averaging(self.network, preset.average) if preset.average else None
        self._optimizer = torch.optim.SGD(
            self.network.parameters(), preset.learning_rate, momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, preset.learning_rate, total_steps=preset.epochs * preset.steps, pct_start=WARM_UP, cycle_momentum=False
        )
        self._scaler = torch.amp.GradScaler(where.type, enabled=precision.scaled)
        self._feed = Feed(Sampler(learn.known, preset.patch, np.random.default_rng(seed)), learn)
        self._channel_of = _channels(self._values).to(where)
        self.names = names
        self.crew: Crew | None = None
        """Others that make a part of each step's passes; it is closed with this. Without them nothing here asks for any."""
        self.seeded = False
        """Whether each pass draws its dropout from its own number, so that it draws the same whoever makes it."""
        self.kept: Model | None = None
        """The best epoch's network, in memory on the CPU; None after `restore`, until a better one comes: it lies on disk."""
        self.examples: Examples | None = None
        """Slices of the last validation."""
        self.history: list[Epoch] = []
        self._losses: list[torch.Tensor] = []
        self.partial = False
        """Whether the last epoch was judged before all its steps were made: nothing goes on from there."""
        self._spent_s, self._waits = 0.0, Waits(where)
        self.judging_s = 0.0
        """Seconds that the last validation took."""
        self.key = _key(preset, learn, judge, names, seed)
        """The same for the same training: preset, seed, labels, and the voxels of every case."""

    @property
    def best(self) -> Epoch | None:
        """The epoch with the highest mean Dice, of equal ones the last."""
        return max(self.history, key=lambda epoch: (epoch.mean_dice, epoch.number), default=None)

    @property
    def made(self) -> int:
        """How many steps of the epoch that is under way have been made."""
        return len(self._losses)

    @property
    def steps(self) -> int:
        """How many have been made in all."""
        return len(self.history) * self.preset.steps + self.made

    @property
    def processes(self) -> int:
        """How many make its steps, with this one."""
        return 1 if self.crew is None else self.crew.processes

    @property
    def layout(self) -> Way:
        """How the weights lie in memory."""
        return Way(channels_last=any(_channels_last(each) for each in self.network.parameters()))

    @property
    def losses(self) -> list[float]:
        """Of the epoch that is under way. A GPU is waited for until it has them."""
        return torch.stack(self._losses).tolist() if self._losses else []

    def step(self) -> torch.Tensor:
        """One step of training; returns its loss, a scalar on the device, which may still be computing it.

        When memory is short the step is made in smaller parts, from then on. Raises torch.OutOfMemoryError when none is small
        enough.
        """
        begun = time.perf_counter()
        sampled = self._feed.state()
        while True:
            try:
                loss = self._step()
                break
            except torch.OutOfMemoryError:
                less = smaller(self.preset)
                if less is None and not self.learn.count(Tier.DEVICE):
                    raise
            # Outside of the handler, whose traceback holds the step's tensors.
            self.make_room(less)
            self._feed.restore(sampled)
        self._losses.append(loss)
        self._spent_s += time.perf_counter() - begun
        return loss

    def join(self, crew: Crew) -> None:
        """Makes its steps with others from the next one on."""
        self.crew, self.seeded = crew, True

    def take(self, way: Way) -> None:
        """Computes in that way from the next step on."""
        self.way, self._forward = way, taken(self.network, way)
        if self._averaged:
            taken(self._averaged, replace(way, compiled=False))

    def progress(self, epoch_s: float, session_s: float) -> Progress:
        """Where this is, if an epoch takes `epoch_s` until one has been made; may be asked from another thread."""
        losses, preset, history = self._losses, self.preset, self.history
        made = self.made if len(history) < preset.epochs else preset.steps
        each_s = history[-1].seconds if history else epoch_s
        return Progress(
            epoch=min(len(history) + 1, preset.epochs),
            epochs=preset.epochs,
            device=self.where.type.upper().replace("CUDA", "GPU"),
            step=made,
            steps=preset.steps,
            loss=float(losses[-1]) if losses else float("nan"),
            waited=self._waits.share(self._spent_s),
            left_s=max(0.0, preset.epochs - len(history) - made / preset.steps) * each_s,
            session_s=session_s,
        )

    def make_room(self, less: Preset | None) -> None:
        """Takes the cases out of the device's memory, where there are any, else goes on with `less`."""
        if self.learn.leave_device():
            self._tell(say(N_("The device's memory is short: the cases in it are moved out of it. Only the speed is another.")))
            torch.cuda.empty_cache()
        elif less is not None:
            self.shrink(less)

    def shrink(self, less: Preset) -> None:
        """Goes on with smaller parts, and says so."""
        if less.patch < self.preset.patch:
            text = N_("The device's memory is too small for patches of {was} voxels a side: going on with {side}. "
                      "The network sees less around each voxel, so Dice may be lower.")  # fmt: skip
        else:
            text = N_("The device's memory is too small for {count} patches at a time: going on with {less}, in more passes. "
                      "Only the speed is another.")  # fmt: skip
        self._tell(say(text, was=self.preset.patch, side=less.patch, count=self.preset.batch, less=less.batch))
        self._optimizer.zero_grad(set_to_none=True)
        if self.where.type == "cuda":
            torch.cuda.empty_cache()
        self.preset, self._feed.side = less, less.patch

    def _step(self) -> torch.Tensor:
        self.network.train()
        self._optimizer.zero_grad(set_to_none=True)
        total = self._passes() if self.crew is None else self._passes_of(self.crew)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._schedule.step()
        if self._averaged:
            self._averaged.update_parameters(self.network)
        return total

    def _passes(self) -> torch.Tensor:
        """Leaves the step's gradients with the weights; returns its loss."""
        total = torch.zeros((), device=self.where)
        for part in range(self.preset.accumulate):
            hu, truth = self._batch(part)
            if self.seeded:
                seed_pass(self.seed, self.steps, part)
            with torch.autocast(self.where.type, self.precision.dtype, enabled=self.precision.mixed):
                logits = self._forward(normalised(hu))
            loss = dice_ce(logits, truth) / self.preset.accumulate
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # in torch's types
            total += loss.detach()
        return total

    def _passes_of(self, crew: Crew) -> torch.Tensor:
        """The same, of several processes: their patches are those of one, drawn and changed here in the same order."""
        preset = self.preset
        parts = [self._batch(part) for part in range(preset.accumulate)]
        images = normalised(torch.cat([hu for hu, _ in parts]))
        scale = float(self._scaler.scale(torch.ones((), device=self.where)))
        step = Step(self.steps, preset.batch, preset.accumulate, preset.patch, scale)
        return crew.step(step, images, torch.cat([truth for _, truth in parts]))

    def _batch(self, part: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The next patches on the device: HU (patch, 1, x, y, z) and the class of each voxel (patch, x, y, z)."""
        with self._waits.data():
            hu, labels = self._feed.batch(self.preset.batch, self.where)
        if self.preset.augment:
            # Anew for each pass, from where it stands: so there is no state of it to keep.
            draw = torch.Generator(self.where).manual_seed(((self.seed << 40) + (self.steps << 8) + part) % 2**63)
            hu, labels = augmented(hu, labels, draw)
        return hu, self._channel_of[labels.long()]

    def validate(self) -> Epoch:
        """Judges the network as it is; ends the epoch, whose mean loss and Dice are appended to the history.

        Raises DivergedError when the loss is no number any more.
        """
        begun = time.perf_counter()
        loss = float(np.mean(self.losses))
        if not np.isfinite(loss):
            raise DivergedError(
                N_("The loss is no number any more after {steps} steps, so the training ended; the best network is kept. "
                   "Check the HU of the cases, or train anew with a lower learning rate."),
                steps=self.steps,
            )  # fmt: skip
        steps_s = self._spent_s + time.perf_counter() - begun
        waited, patches = self._waits.share(steps_s), self.made * self.preset.batch * self.preset.accumulate
        shown, gallery = self._shown.eval(), Gallery()
        with torch.autocast(self.where.type, self.precision.dtype, enabled=self.precision.mixed):
            scores = mean_dice(shown, self.judge.wholes(), self._values, self.preset.patch, gallery.look)
        self.examples = gallery.examples(len(self.history) + 1)
        self.judging_s = time.perf_counter() - begun
        self._spent_s += self.judging_s
        rate = float(self._schedule.get_last_lr()[0])
        number, patches_s = len(self.history) + 1, patches / max(steps_s, 1e-9)
        epoch = Epoch(
            number, loss, scores, self._spent_s, waited, rate, patches_s, time.time(), self.processes, str(self.way or "")
        )
        self.history.append(epoch)
        self.partial = self.made < self.preset.steps
        self._losses, self._spent_s = [], 0.0
        self._waits.start()
        if self.best is epoch:
            self.kept = self.copy()
        return epoch

    @property
    def _shown(self) -> torch.nn.Module:
        """The network that is judged and kept: with averaged weights, if there are."""
        if self._averaged is None:
            return self.network
        averaged: torch.nn.Module = self._averaged.module
        return averaged

    def close(self) -> None:
        """Nothing more is read for it in advance, its cases are given back, and processes that computed with it end."""
        if self.crew is not None:
            self.crew.close()
        self._feed.close()
        self.learn.close()
        self.judge.close()

    def copy(self) -> Model:
        """The network as it is now, in memory on the CPU."""
        return Model(copy.deepcopy(self._shown).cpu().eval(), self.preset, self.names)

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, but for the data."""
        return {
            "key": self.key,
            "seeded": self.seeded,
            "way": None if self.way is None else [self.way.channels_last, self.way.compiled],
            "parts": [self.preset.batch, self.preset.accumulate, self.preset.patch],
            "history": plain(self.history),
            "losses": self.losses,
            "spent_s": self._spent_s,
            "waited_s": self._waits.seconds,
            "network": self.network.state_dict(),
            "averaged": self._averaged.state_dict() if self._averaged else {},
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "scaler": self._scaler.state_dict(),
            "sampler": self._feed.state(),
            "random": random_state(self.where),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        batch, accumulate, patch = state["parts"]
        self.preset = replace(self.preset, batch=batch, accumulate=accumulate, patch=patch)
        self._feed.side = patch
        self.history = from_plain(state["history"])
        self._losses = list(torch.tensor(state["losses"], device=self.where))
        self._spent_s = state["spent_s"]
        self._waits.start(state["waited_s"])
        # A state of an earlier version says nothing of either.
        self.seeded = bool(state.get("seeded"))
        if way := state.get("way"):
            self.take(Way(*way))
        self.network.load_state_dict(state["network"])
        if self._averaged:
            self._averaged.load_state_dict(state["averaged"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        if state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self._feed.restore(state["sampler"])
        restore_random(self.where, state["random"])


def _channels_last(weights: torch.Tensor) -> bool:
    return weights.dim() == 5 and weights.is_contiguous(memory_format=torch.channels_last_3d) and not weights.is_contiguous()


def averaging(network: torch.nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of the weights and of what batch normalisation has seen."""
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # in torch's types
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def _key(preset: Preset, learn: Tiers, judge: Tiers, names: Mapping[int, str], seed: int) -> str:
    digest = hashlib.sha256(repr((preset, list(names), seed, len(learn.known))).encode())
    for case in (*learn.known, *judge.known):
        digest.update(case.digest.encode())
    return digest.hexdigest()


def _channels(values: list[int]) -> torch.Tensor:
    """The network's output channel of each label."""
    channel_of = torch.zeros(256, dtype=torch.uint8)
    channel_of[values] = torch.arange(1, len(values) + 1, dtype=torch.uint8)
    return channel_of
