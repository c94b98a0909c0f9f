"""Rows 84, 87 and 92: ranks that share a batch, and what each holds of the state.

The ranks are real processes (`tests.rows.ranks`): a few seconds each, so most are marked slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lmtrainer.train.sharing import Sharded, Whole, sharing_of
from tests.rows.engines import ALONE, model_of, run_of

Train = Callable[..., tuple[Path, dict[str, int]]]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains with a strategy on some ranks, once; gives the folder and what rank 0 held."""
    done: dict[tuple[Any, ...], tuple[Path, dict[str, int]]] = {}

    def run(strategy: str, ranks: int, saved: Path | None = None) -> tuple[Path, dict[str, int]]:
        key = (strategy, ranks, saved)
        if key not in done:
            folder = tmp_path_factory.mktemp(f"{strategy.replace(':', '-')}-{ranks}")
            command = [sys.executable, "-m", "tests.rows.ranks", strategy, str(ranks), str(folder)]
            command += [str(saved)] if saved else []
            root = Path(__file__).parents[2]
            env = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{root}"}
            found = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
            assert found.returncode == 0, found.stderr[-4000:]
            done[key] = folder, json.loads(found.stdout.splitlines()[-1])
        return done[key]

    return run


def difference(one: Path, other: Path) -> float:
    ours, theirs = load_file(one / "weights.safetensors"), load_file(other / "weights.safetensors")
    assert set(ours) == set(theirs)
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


def saved(folder: Path) -> Path:
    return folder / "checkpoints" / "0-main-step-00000005"


@pytest.mark.slow
def test_row_084_two_ranks_end_with_the_weights_of_one(train: Train) -> None:
    """Two gloo ranks on one node; that both ranks have the same is what the exchange is for."""
    assert difference(train("ddp", 2)[0], train("ddp", 1)[0]) < 1e-5


def test_row_087_one_process_for_each_gpu_and_never_threads() -> None:
    """torch's DataParallel, which the earlier kit fell back to without a launcher, runs one process
    over all GPUs in threads. Here a process has one device: without a launcher there is one process
    on one device, and more devices mean more processes (`processesPerNode: auto`)."""
    model = model_of(run_of())
    module = Whole(model, ALONE).module(torch.nn.Module(), pairs=False)  # type: ignore[arg-type]
    assert not isinstance(module, torch.nn.DataParallel)
    assert ALONE.world_size == 1


@pytest.mark.slow
def test_row_092_lamb_and_short_weights_are_shared_too(train: Train) -> None:
    """LAMB needs norms of whole tensors; how a short weight is rounded must not depend on who does
    it."""
    lamb = train("ddp:lamb", 2)[0]
    assert difference(train("zero1:lamb", 2)[0], lamb) == 0.0
    assert difference(train("fsdp:lamb", 2)[0], lamb) < 1e-6
    short = train("ddp:adamw:bf16-true", 2)[0]
    assert difference(train("zero1:adamw:bf16-true", 2)[0], short) == 0.0
    assert train("fsdp:adamw:bf16-true", 2)[1]["weights"] > 0


@pytest.mark.slow
def test_row_092_sharded_moments_give_the_same_bits_in_half_the_room(train: Train) -> None:
    plain, whole = train("ddp", 2)
    folder, half = train("zero1", 2)
    assert difference(folder, plain) == 0.0
    assert half["weights"] == whole["weights"]
    assert half["moments"] == pytest.approx(whole["moments"] / 2, rel=0.01)


@pytest.mark.slow
def test_row_092_a_sharded_state_gives_the_same_weights_in_half_the_room(train: Train) -> None:
    """Five rows for two ranks: one computes a row more, and the other keeps step."""
    plain, whole = train("ddp", 2)
    folder, half = train("fsdp", 2)
    assert difference(folder, plain) < 1e-6
    assert half["weights"] == pytest.approx(whole["weights"] / 2, rel=0.01)
    assert half["moments"] == half["weights"]
    parts = sorted(path.name for path in saved(folder).glob("part-*"))
    assert parts == [
        f"part-{rank:05d}-{kind}.safetensors"
        for rank in (0, 1)
        for kind in ("optimizer", "weights")
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "read"),
    [
        (("fsdp", 2), ("fsdp", 3)),
        (("fsdp", 2), ("ddp", 1)),
        (("ddp", 2), ("fsdp", 2)),
    ],
)
def test_row_092_a_checkpoint_is_read_by_any_number_of_ranks_and_any_strategy(
    train: Train, written: tuple[str, int], read: tuple[str, int]
) -> None:
    begun, _ = train(*written)
    resumed, _ = train(*read, saved=saved(begun))
    assert difference(resumed, begun) < 1e-5


def test_a_single_process_has_nothing_to_share() -> None:
    for strategy in ("ddp", "zero1", "fsdp"):
        run = run_of(parallel={"strategy": strategy})
        found = sharing_of(model_of(run), run, ALONE)
        assert type(found) is Whole
        assert not isinstance(found, Sharded)


def test_what_is_sharded_takes_up_no_other_weights_later() -> None:
    phases = [
        {"name": "pairs", "steps": 1, "sequenceLength": 16, "objective": "mlm+nsp"},
        {"name": "words", "steps": 1, "sequenceLength": 16, "objective": "mlm"},
    ]
    with pytest.raises(ValueError, match=r"parallel\.strategy: cannot train pairs.*zero1"):
        run_of(parallel={"strategy": "fsdp"}, phases=phases)
    assert run_of(parallel={"strategy": "fsdp"}, phases=phases[:1]).has_pairs
    assert run_of(parallel={"strategy": "zero1"}, phases=phases).has_pairs
