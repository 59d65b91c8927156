"""Random numbers: one seed with several independent named streams.

Data, test points, starting points and Langevin noise each have their own stream, so that changing
the number of chains does not change the data, and changing the sampler does not change the start.
Nothing here (or anywhere in the library) touches a global random state.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from feature_learning.choices import LARGEST_SEED
from feature_learning.errors import check_integer
from feature_learning.native import normal

#: The streams of one seed. The order is part of the results; append, never reorder.
STREAMS = ("data", "test", "start", "noise", "population")


def generator(seed: int, stream: str, *, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator for one stream of one seed.

    Parameters
    ----------
    seed : int
        From 0 to :data:`~feature_learning.choices.LARGEST_SEED`: no two seeds share a stream.
    stream : str
        One of :data:`STREAMS`.
    device : str or torch.device
        Device on which the numbers are drawn. Data and starting points are always drawn on the CPU
        and then moved, so that they are the same on every device; noise is drawn on the device of
        the chain.

    Raises
    ------
    ArgumentError
        If ``seed`` is out of that range or not an integer.
    """
    check_integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    sequence = np.random.SeedSequence([seed, STREAMS.index(stream)])
    return torch.Generator(device=device).manual_seed(
        int(sequence.generate_state(1, np.uint64)[0] >> 1)
    )


def offspring(random: torch.Generator) -> torch.Generator:
    """A generator on the CPU, seeded by a draw from a generator on any device."""
    seed = torch.empty((), dtype=torch.int64, device=random.device).random_(generator=random)
    return torch.Generator(device="cpu").manual_seed(int(seed))


def normal_(out: Tensor, random: torch.Generator) -> Tensor:
    """Fill ``out`` with standard normal numbers, in place.

    With compiled code one key is drawn from ``random`` and the numbers are computed from the key,
    in a third of the time; otherwise (other devices and precisions, no compiler at installation)
    all numbers are drawn from ``random``. In both cases ``random`` is the whole state. The numbers
    have the same distribution but are not identical: the noise of a seed differs with and without
    compiled code.
    """
    if not normal.takes(out):
        return out.normal_(generator=random)
    key = torch.empty((), dtype=torch.int64).random_(generator=random)
    return normal.fill(out, int(key))
