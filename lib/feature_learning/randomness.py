"""Where random numbers come from: one seed, several independent named streams.

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
        Where the numbers are drawn. Data and starts are always drawn on the CPU and then moved, so
        that they are the same on every device; noise is drawn where the chain lives.

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
    """A generator on the CPU, seeded by a draw from one anywhere: for what is drawn there."""
    seed = torch.empty((), dtype=torch.int64, device=random.device).random_(generator=random)
    return torch.Generator(device="cpu").manual_seed(int(seed))


def normal_(out: Tensor, random: torch.Generator) -> Tensor:
    """Fill ``out`` with standard normal numbers, in place.

    Where there is compiled code for it one key is drawn from ``random`` and the numbers are made
    from the key, in a third of the time; otherwise (other devices and precisions, no compiler at
    installation) all are drawn from ``random``. Either way ``random`` is the whole state. The two
    have the same law and not the same numbers: one seed gives one noise with the compiled code and
    another one without.
    """
    if not normal.takes(out):
        return out.normal_(generator=random)
    key = torch.empty((), dtype=torch.int64).random_(generator=random)
    return normal.fill(out, int(key))
