"""Corpora with weights, paired in several ways: `data.weights` beside `objective: mlm+nsp`."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.config import ResolvedRun
from lmtrainer.dataset import Prepared, TrainingRows, open_prepared
from lmtrainer.dataset.batches import Batch, training_steps
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.order import Order
from lmtrainer.dataset.packing import packer
from lmtrainer.dataset.schedule import even
from lmtrainer.dataset.weighting import Shares, shares_of
from lmtrainer.faults import UserError
from tests.rows.paired import cut, documents, paired, parts
from tests.rows.prepared import configured

LENGTH, PASSES = 24, 2
HALVES = [
    "\n".join(f"{number} {line}" for number, line in enumerate(text.split("\n"), 100 + 7 * place))
    for place, text in enumerate(documents(60, 7).split("\n\n"))
]
"""Documents in which no sentence comes twice."""
Pair = tuple[tuple[int, ...], tuple[int, ...]]


def corpora(
    folder: Path, weights: list[float] | None, **fields: object
) -> tuple[Prepared, ResolvedRun]:
    """Two of them, of 20 and of 40 documents, paired in two ways."""
    claim = folder / "text"
    claim.mkdir(exist_ok=True)
    (claim / "a.txt").write_text("\n\n".join(HALVES[:20]))
    (claim / "b.txt").write_text("\n\n".join(HALVES[20:]))
    data = {"train": ["pvc://text/a.txt", "pvc://text/b.txt"]}
    if weights:
        data["weights"] = weights  # type: ignore[assignment]
    return paired(folder, length=LENGTH, data=data, pairs={"passes": PASSES}, **fields)


def tables(prepared: Prepared) -> list[list[Counter[Pair]]]:
    """[passes][corpora]: the pairs whose first part is of a corpus."""
    border = prepared.train.sources[1]
    text = np.empty(len(prepared.train), dtype=np.int64)
    prepared.train.copy(0, text)
    found = []
    for table in (t for name, t in prepared.pairs.items() if name.split == "train"):
        pairs: list[Counter[Pair]] = [Counter(), Counter()]
        for a, b, a_size, b_size, _ in table.tolist():
            pair = tuple(text[a : a + a_size].tolist()), tuple(text[b : b + b_size].tolist())
            pairs[int(a >= border)][pair] += 1
        found.append(pairs)
    return found


def seen(prepared: Prepared, run: ResolvedRun, first: int, stop: int) -> Counter[Pair]:
    """What places `first` to `stop` of the stream of pairs hold."""
    rows = TrainingRows(prepared, run, 0)
    batch = run.phases[0].global_batch_size
    assert not first % batch and not stop % batch
    steps = range(first // batch, stop // batch)
    singles = (one for step in steps for row in rows.micro_batches(step, 0, 1) for one in cut(row))
    found: Counter[Pair] = Counter()
    for one in singles:
        a, b = parts(one, prepared)
        found[tuple(a), tuple(b)] += 1
    return found


def single(**fields: object) -> dict[str, object]:
    """One pair a step, so that epochs begin where steps do."""
    phase = {"name": "main", "epochs": 2, "sequenceLength": LENGTH, "globalBatchSize": 1}
    return {"phases": [{**phase, **fields}]}


def test_pairs_come_as_often_as_their_corpus_weighs_and_each_goes_its_own_passes(
    tmp_path: Path,
) -> None:
    prepared, run = corpora(tmp_path, [2, 0.5], **single())
    ways = tables(prepared)
    sizes = [[sum(pairs.values()) for pairs in way] for way in ways]
    counts = [(2 * a, round(0.5 * b)) for a, b in sizes]
    assert packer(prepared, run, run.phases[0]).epochs.sizes == tuple(map(sum, counts))
    assert training_steps(prepared, run) == (sum(map(sum, counts)),)
    assert ways[0][0] != ways[1][0] and ways[0][1] != ways[1][1]

    lap = sum(map(sum, counts))
    found = [seen(prepared, run, *span) for span in ((0, sum(counts[0])), (sum(counts[0]), lap))]
    ours = [
        Counter({p: n for p, n in e.items() if p in ways[0][0] or p in ways[1][0]}) for e in found
    ]
    theirs = [e - mine for e, mine in zip(found, ours, strict=True)]
    # Corpus a: in two epochs both ways twice, and both already in the first one but for the few
    # pairs that one way has more than the other.
    assert sum(ours, Counter()) == ways[0][0] + ways[1][0] + ways[0][0] + ways[1][0]
    spare = abs(sizes[0][0] - sizes[1][0])
    assert (ours[0] - (ways[0][0] + ways[1][0])).total() <= spare
    # Corpus b: half of the first way, and then nearly all of the other half of the same.
    assert not theirs[0] - ways[0][1]
    assert sum(theirs, Counter()).total() == counts[0][1] + counts[1][1]
    assert (sum(theirs, Counter()) - ways[0][1]).total() <= abs(sizes[0][1] - sizes[1][1])


def test_weights_of_one_pair_and_hide_as_none(tmp_path: Path) -> None:
    found = []
    for name, weights in (("none", None), ("one", [1.0, 1.0])):
        (tmp_path / name).mkdir()
        prepared, run = corpora(tmp_path / name, weights, seed=3)
        rows = TrainingRows(prepared, run, 0)
        found.append(
            [row.tokens.tobytes() for n in range(120) for row in rows.micro_batches(n, 0, 1)]
        )
        total = packer(prepared, run, run.phases[0]).epochs.begin(PASSES)
        assert 120 * run.phases[0].global_batch_size > total, "all passes, and on from there"
    assert found[0] == found[1]


def test_any_step_and_any_number_of_processes_give_the_same_pairs(tmp_path: Path) -> None:
    prepared, run = corpora(tmp_path, [1.7, 0.4], **single(globalBatchSize=12))

    def step(number: int, processes: int) -> list[tuple[bytes, bytes]]:
        rows = TrainingRows(prepared, run, 0)
        batches: list[Batch] = []
        for rank in range(processes):
            batches += rows.micro_batches(number, rank, processes)
        return sorted((o.tokens.tobytes(), o.labels.tobytes()) for row in batches for o in cut(row))

    forth = [step(number, 1) for number in range(40)]
    assert [step(number, 3) for number in reversed(range(40))] == forth[::-1]
    prepared = open_prepared(run, tmp_path / "out", {"text": str(tmp_path / "text")})
    assert step(33, 2) == forth[33]


def test_a_phase_of_words_has_the_same_weights(tmp_path: Path) -> None:
    phases = [
        {"name": name, "steps": 2, "sequenceLength": LENGTH, "objective": objective}
        for name, objective in (("pairs", "mlm+nsp"), ("words", "mlm"))
    ]
    prepared, run = corpora(tmp_path, [3, 1], phases=phases)
    pairs, words = (packer(prepared, run, phase).shares for phase in run.phases)
    assert pairs is not None and words is not None
    for shares in (pairs, words):
        for size, count in zip(shares.sizes, shares.counts, strict=True):
            assert count == (3 * size[0], size[1])
    assert len(pairs.sizes) == PASSES and len(words.sizes) == 1


def test_weights_that_leave_no_pair_are_refused(tmp_path: Path) -> None:
    prepared, run = corpora(tmp_path, [0.001, 0.001])
    with pytest.raises(UserError, match=r"data.weights: are so small that an epoch has no seque"):
        TrainingRows(prepared, run, 0)


def test_the_configuration_takes_weights_of_pairs() -> None:
    data = {"train": ["pvc://text/a", "pvc://text/b"], "weights": [1, 2]}
    assert configured("bert", objective="mlm+nsp", data=data).data.weights == (1, 2)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=4),
    weights=st.lists(st.sampled_from([0.2, 0.5, 1, 1.3, 2, 3]), min_size=3, max_size=3),
    batch=st.integers(1, 20),
)
def test_each_text_goes_through_all_ways_in_turn_and_through_each_wholly(
    sizes: list[list[int]], weights: list[float], batch: int
) -> None:
    """Every sample of a pass once before the next pass begins, for any sizes of passes."""
    sizes = [[*size[:2], size[2] + 5] for size in sizes]
    starts = [np.concatenate([k * 100 + np.arange(n) for k, n in enumerate(way)]) for way in sizes]
    shares = shares_of(weights, (0, 100, 200), *starts)
    assert shares.sizes == tuple(map(tuple, sizes))
    order = Order(5, 0, shares.epochs, even(batch), shares)
    laps = 3 * len(sizes)
    total = shares.epochs.begin(laps)
    picked = [order.at(step) for step in range(-(-total // batch))]
    numbers, passes = (np.concatenate(each)[:total].tolist() for each in zip(*picked, strict=True))
    for text in range(3):
        turns: dict[int, list[int]] = {}
        for number, turn in zip(numbers, passes, strict=True):
            way = turn % len(sizes)
            first = sum(map(sum, sizes[:way])) + sum(sizes[way][:text])
            if first <= number < first + sizes[way][text]:
                turns.setdefault(turn, []).append(number - first)
        assert sum(map(len, turns.values())) == 3 * sum(c[text] for c in shares.counts)
        wanted = [n for n in range(max(turns, default=-1) + 1) if sizes[n % len(sizes)][text]]
        assert sorted(turns) == wanted
        for turn in wanted[:-1]:
            assert sorted(turns[turn]) == list(range(sizes[turn % len(sizes)][text]))
        if wanted:
            assert len(set(turns[wanted[-1]])) == len(turns[wanted[-1]])


def test_an_order_of_whole_passes_is_that_without_weights() -> None:
    sizes = ((3, 4), (5, 2), (4, 4))
    plain = Order(5, 2, Epochs(tuple(map(sum, sizes))), even(4))
    same = Order(5, 2, Shares(sizes, sizes).epochs, even(4), Shares(sizes, sizes))
    for step, ours in itertools.product(range(30), (0, 1)):
        assert plain.at(step)[ours].tolist() == same.at(step)[ours].tolist()
