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
from tests.rows import phase_ranks
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
            more = [saved] if saved else []
            done[key] = folder, started("ranks", strategy, ranks, folder, *more)
        return done[key]

    return run


def started(program: str, *arguments: object) -> Any:
    """Runs a program of ranks beside these tests; gives what it printed."""
    command = [sys.executable, "-m", f"tests.rows.{program}", *map(str, arguments)]
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{root}"}
    found = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert found.returncode == 0, found.stderr[-4000:]
    return json.loads(found.stdout.splitlines()[-1])


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


Phases = Callable[..., tuple[Path, list[dict[str, list[str]]]]]
ONLY_PAIRS = ("bert.pooler.", "cls.seq_relationship.")


@pytest.fixture(scope="module")
def in_phases(tmp_path_factory: pytest.TempPathFactory) -> Phases:
    """Trains words, pairs and words again (`tests.rows.phase_ranks`), once; gives the folder, and
    what the optimizer of each phase knew."""
    done: dict[tuple[Any, ...], tuple[Path, Any]] = {}

    def run(strategy: str, ranks: int, *more: object) -> tuple[Path, Any]:
        key = (strategy, ranks, more)
        if key not in done:
            folder = tmp_path_factory.mktemp(f"{strategy.replace(':', '-')}-{ranks}")
            done[key] = folder, started("phase_ranks", strategy, ranks, folder, *more)
        return done[key]

    return run


def weights(folder: Path, phase: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What a phase ended with: of pairs of sentences alone, and all else."""
    found = load_file(folder / f"{phase}.safetensors")
    pairs = {name: tensor for name, tensor in found.items() if name.startswith(ONLY_PAIRS)}
    assert len(pairs) == 4
    return pairs, {name: tensor for name, tensor in found.items() if name not in pairs}


@pytest.mark.slow
def test_a_sharded_model_trains_pairs_of_sentences_in_some_phases_only(in_phases: Phases) -> None:
    """What no phase trains keeps its bits, in spite of the decay; all else is that of `ddp`."""
    folder, known = in_phases("fsdp", 2)
    plain, plainly_known = in_phases("ddp", 2)
    for phase in range(3):
        for ours, theirs in zip(weights(folder, phase), weights(plain, phase), strict=True):
            assert all((ours[name] - theirs[name]).abs().max() < 1e-5 for name in ours)
    assert known == plainly_known
    for phase, told in enumerate(known):
        of_pairs = [name for name in told["moved"] if name.startswith(ONLY_PAIRS)]
        assert len(of_pairs) == (4 if phase == 1 else 0)
        assert told["moments"] == told["moved"]
        assert sorted(told["gradients"]) == of_pairs
    fresh = {n: p for n, p in first_weights().items() if n.startswith(ONLY_PAIRS)}
    (words, _), (pairs, before), (again, after) = (weights(folder, phase) for phase in range(3))
    assert same(words, fresh) and same(again, pairs)
    assert not any(torch.equal(pairs[name], words[name]) for name in pairs)
    assert not same(before, after)


def first_weights() -> dict[str, torch.Tensor]:
    run = phase_ranks.run_in_phases("ddp")
    return {name: p.detach() for name, p in phase_ranks.model_of(run).named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "ranks"), [(1, 3), (2, 2)])
def test_phases_of_a_sharded_model_go_on_from_a_checkpoint(
    in_phases: Phases, phase: int, ranks: int
) -> None:
    """With as many ranks as before to the last bit, whatever earlier phases left behind."""
    begun, _ = in_phases("fsdp", 2)
    resumed, _ = in_phases("fsdp", ranks, begun / f"checkpoints/{phase}-main-step-00000003", phase)
    for later in range(phase, 3):
        for ours, theirs in zip(weights(resumed, later), weights(begun, later), strict=True):
            assert ranks != 2 or same(ours, theirs)
            assert all((ours[name] - theirs[name]).abs().max() < 1e-5 for name in ours)
