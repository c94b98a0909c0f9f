"""What a rank saves of a state in parts; the rest needs several of them (`tests.rows.ranks`)."""

from __future__ import annotations

import pytest
import torch

from lmtrainer.parallel.sharding import pieces_of
from lmtrainer.parallel.world import World


@pytest.mark.parametrize(("rank", "kept"), [(0, {"a", "count"}), (1, set())])
def test_what_is_not_cut_is_saved_by_rank_0_alone(rank: int, kept: set[str]) -> None:
    tensors = {"a": torch.ones(2, 3), "count": torch.tensor(4.0), "none": torch.empty(0, 3)}
    pieces = pieces_of(tensors, World(rank, rank, 2, torch.device("cpu")))
    assert set(pieces.tensors) == kept
    assert pieces.offsets == {name: (0,) * tensors[name].ndim for name in kept}
