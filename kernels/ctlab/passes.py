"""The passes of a step that one of several processes makes, as one row of numbers: the rows of all of them are summed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ctlab.loss import dice_ce
from ctlab.precision import Precision
from ctlab.ways import Forward, Way, taken


@dataclass(frozen=True)
class Step:
    """What the processes have to know of one step, besides weights and patches."""

    number: int
    """How many were made before it."""
    batch: int
    """Patches in a pass."""
    passes: int
    """Of all processes together."""
    side: int
    """Of the patches, in voxels."""
    scale: float
    """By which losses are multiplied, so that small gradients don't become 0 in short numbers."""

    @property
    def patches(self) -> int:
        """Of all processes together."""
        return self.batch * self.passes


def seed_pass(seed: int, number: int, part: int) -> None:
    """Has the pass with the number `part`, of the step before which `number` were made, draw its dropout from its own beginning.

    So it draws the same whoever makes it. Not from where its augmentation begins (`ctlab.trainer`), which draws besides.
    """
    torch.manual_seed((2**62 + (seed << 40) + (number << 8) + part) % 2**63)


class Passes:
    """A network and the row of what its passes come to: gradients, running statistics, the loss, and whether memory was short.

    The mean of a step's gradients is a sum of shares, and so are running statistics: after each pass a batch normalisation keeps
    1 - momentum of what it had and adds its own. So whoever made the first of n passes counts with (1 - momentum) to the power of
    the passes that came after his, whoever begins in the middle begins with zeros, and the sum is what one process would have
    after all n.
    """

    def __init__(
        self, network: torch.nn.Module, precision: Precision, *, rank: int, processes: int, seed: int, way: Way | None = None
    ) -> None:
        """`way` is that in which `network` is computed, where it isn't the one that it is built in."""
        self._forward: Forward = network if way is None else taken(network, way)
        self._network, self._precision, self._rank, self._processes = network, precision, rank, processes
        self._seed = seed
        self._parameters = [each for each in network.parameters() if each.requires_grad]
        self._norms = list(_norms(network))
        self._where = self._parameters[0].device
        self._weights = torch.empty(sum(each.numel() for each in self._parameters), device=self._where)
        size = len(self._weights) + sum(each.numel() for each in self.statistics)
        self.row = torch.zeros(size + 2, device=self._where)
        """Float32: the gradient of each parameter, the running statistics, the loss, and 0 unless memory was short."""

    @property
    def statistics(self) -> list[torch.Tensor]:
        """Running means and variances."""
        return [each for norm, _ in self._norms for each in (norm.running_mean, norm.running_var) if each is not None]

    def seen(self) -> list[torch.Tensor]:
        """A copy of what batch normalisations have seen, for `forget`."""
        return [each.clone() for norm, _ in self._norms for each in norm.buffers()]

    def forget(self, since: list[torch.Tensor]) -> None:
        """Has seen nothing since that copy was made."""
        for each, was in zip((each for norm, _ in self._norms for each in norm.buffers()), since, strict=True):
            each.copy_(was)

    def weights(self) -> torch.Tensor:
        """All weights in a row, the same one each time."""
        torch.cat([each.detach().reshape(-1) for each in self._parameters], out=self._weights)
        return self._weights

    def take(self, weights: torch.Tensor) -> None:
        """Has these weights from now on, and no running statistics: those of whoever begins in the middle."""
        with torch.no_grad():
            for parameter, piece in zip(self._parameters, _cut(weights, self._parameters), strict=True):
                parameter.copy_(piece)
            for each in self.statistics:
                each.zero_()

    def make(self, images: torch.Tensor, truth: torch.Tensor, step: Step) -> None:
        """Makes this process's passes of the step, and fills the row.

        `images` (patch, 1, x, y, z) are float32 from -1 to 1, `truth` (patch, x, y, z) classes; both are of the whole step. When
        memory is short the row says so and nothing else.
        """
        self._network.train()
        self._network.zero_grad(set_to_none=True)
        try:
            self._fill(self._made(images, truth, step), later=(self._processes - 1 - self._rank) * step.passes // self._processes)
        except torch.OutOfMemoryError:
            short = True
        else:
            short = False
        # Outside of the handler, whose traceback holds the tensors of the pass.
        if short:
            self._network.zero_grad(set_to_none=True)
            self.row.zero_()
            self.row[-1] = 1.0
            if self._where.type == "cuda":
                torch.cuda.empty_cache()

    def put(self, step: Step) -> torch.Tensor:
        """Takes the summed row as gradients and running statistics of the step; returns the loss, a scalar."""
        with torch.no_grad():
            for parameter, piece in zip(self._parameters, _cut(self.row, self._parameters), strict=True):
                # One that has no part in the loss has no gradient, and then none decays it either.
                if parameter.grad is not None:
                    parameter.grad.copy_(piece)
            for each, piece in zip(self.statistics, _cut(self.row[len(self._weights) :], self.statistics), strict=True):
                each.copy_(piece)
            for norm, _ in self._norms:
                if norm.num_batches_tracked is not None:
                    norm.num_batches_tracked += step.passes - step.passes // self._processes
        return self.row[-2].clone()

    @property
    def _momenta(self) -> list[float]:
        return [momentum for norm, momentum in self._norms for each in (norm.running_mean, norm.running_var) if each is not None]

    def _made(self, images: torch.Tensor, truth: torch.Tensor, step: Step) -> torch.Tensor:
        """Leaves the gradients with the parameters; returns this process's share of the loss."""
        total = torch.zeros((), device=self._where)
        for number in share(step.passes, self._rank, self._processes):
            own = slice(number * step.batch, (number + 1) * step.batch)
            seed_pass(self._seed, step.number, number)
            with torch.autocast(self._where.type, self._precision.dtype, enabled=self._precision.mixed):
                logits = self._forward(images[own])
            loss = dice_ce(logits, truth[own]) / step.passes
            (loss * step.scale).backward()  # type: ignore[no-untyped-call]  # in torch's types
            total += loss.detach()
        return total

    def _fill(self, loss: torch.Tensor, later: int) -> None:
        grads = [torch.zeros_like(each) if each.grad is None else each.grad for each in self._parameters]
        kept = [each * (1.0 - momentum) ** later for each, momentum in zip(self.statistics, self._momenta, strict=True)]
        rows = [each.reshape(-1) for each in (*grads, *kept, loss, torch.zeros_like(loss))]
        torch.cat(rows, out=self.row)


def share(passes: int, rank: int, processes: int) -> range:
    """Which of the passes of a step the process with that number makes: neighbours, in order."""
    each = passes // processes
    return range(rank * each, (rank + 1) * each)


def _norms(network: torch.nn.Module) -> Iterator[tuple[_BatchNorm, float]]:
    """What keeps running statistics, and how fast it forgets."""
    for each in network.modules():
        if isinstance(each, _BatchNorm) and each.running_mean is not None and each.momentum is not None:
            yield each, each.momentum


def _cut(row: torch.Tensor, shapes: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """The pieces of `row`, in the shapes of `shapes`."""
    at = 0
    for each in shapes:
        yield row[at : at + each.numel()].view(each.shape)
        at += each.numel()
