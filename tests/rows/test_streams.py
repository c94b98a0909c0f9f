"""Rows 25, 58, 59 and 96 to 98: the stream of samples, and corpora with weights. There are no
workers, prefetch buffers or loader modes to choose: a row is a function of the step."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmtrainer.config import MistakesError, ResolvedRun
from lmtrainer.dataset import EvaluationRows, Prepared, TrainingRows, training_steps
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.order import Order
from lmtrainer.dataset.schedule import even
from lmtrainer.dataset.weighting import Shares
from lmtrainer.evaluate.measure import measure, unigram_losses
from lmtrainer.faults import UserError
from lmtrainer.models import build
from lmtrainer.parallel.world import World
from tests.rows.prepared import configured, ids, made, sequences

TEXT = "\n\n".join(f"number {n} " + "and more " * (n % 9) for n in range(203))
BATCH = 4


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, ResolvedRun]:
    run = configured()
    return made(tmp_path_factory.mktemp("stream"), run, TEXT), run


def step_of(prepared: Prepared, run: ResolvedRun, step: int, world: int) -> list[list[int]]:
    rows = TrainingRows(prepared, run, 0)
    shares = [rows.micro_batches(step, rank, world) for rank in range(world)]
    return sequences([row for share in shares for row in share])


def stored(prepared: Prepared) -> list[tuple[int, ...]]:
    """All training sequences, once."""
    rows = EvaluationRows(prepared, configured(), 0).rows(0, 1)
    return [tuple(s) for s in sequences(list(rows))]


def test_row_058_every_item_comes_once_an_epoch_in_another_order_each(
    found: tuple[Prepared, ResolvedRun],
) -> None:
    prepared, run = found
    whole = stored(prepared)
    steps = len(whole) // BATCH
    epochs = []
    for epoch in (0, 1):
        order = Order(run.seed, 0, Epochs((len(whole),)), even(len(whole)))
        numbers, _ = order.at(epoch)
        assert sorted(numbers) == list(range(len(whole)))
        epochs.append(numbers.tolist())
    assert epochs[0] != epochs[1]
    first = [tuple(s) for step in range(steps) for s in step_of(prepared, run, step, 1)]
    assert len(first) == steps * BATCH
    assert not Counter(first) - Counter(whole)


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_row_059_the_ranks_together_have_every_sample_once(
    found: tuple[Prepared, ResolvedRun], world: int
) -> None:
    prepared, run = found
    for step in range(10):
        together = sorted(step_of(prepared, run, step, world))
        assert len(together) == BATCH
        assert together == sorted(step_of(prepared, run, step, 1))
    shares = [list(EvaluationRows(prepared, run, 0).rows(rank, world)) for rank in range(world)]
    assert Counter(tuple(s) for share in shares for s in sequences(share)) == Counter(
        stored(prepared)
    )


def test_row_096_no_more_than_one_remainder_is_left_however_many_ranks_there_are(
    found: tuple[Prepared, ResolvedRun],
) -> None:
    prepared, _ = found
    whole = len(stored(prepared))
    assert whole % BATCH
    phase = {"name": "main", "epochs": 1, "sequenceLength": 16, "globalBatchSize": BATCH}
    (steps,) = training_steps(prepared, configured(phases=[phase]))
    # floor(n / B) whole batches; one more begins with the remainder and goes on in the next epoch.
    assert steps == whole // BATCH + 1
    order = Order(42, 0, Epochs((whole,)), even(BATCH))
    used = np.concatenate([order.at(step)[0] for step in range(whole // BATCH)])
    assert len(set(used.tolist())) == whole // BATCH * BATCH


def test_row_097_the_order_does_not_depend_on_who_asks_when(
    found: tuple[Prepared, ResolvedRun],
) -> None:
    prepared, run = found
    forth = [step_of(prepared, run, step, 1) for step in range(12)]
    back = [step_of(prepared, run, step, 1) for step in reversed(range(12))]
    assert forth == back[::-1]


def test_row_098_evaluation_drops_nothing(found: tuple[Prepared, ResolvedRun]) -> None:
    prepared, run = found
    rows = list(EvaluationRows(prepared, run, 0, max_tokens=50).rows(0, 1))
    assert sum(len(row.lengths) for row in rows) == len(stored(prepared))
    inside = [i for s in sequences(rows) for i in s[1:-1]]
    assert Counter(inside) == Counter(ids(prepared.validation))


def seen(order: Order, epochs: int) -> NDArray[np.int64]:
    """[epochs, samples]: how often each sample came in each epoch."""
    assert order.shares is not None
    (total,) = order.shares.epochs.sizes
    samples = sum(order.shares.sizes[0])
    counts = np.zeros((epochs, samples), dtype=np.int64)
    numbers = np.concatenate(
        [order.at(step)[0] for step in range(-(-epochs * total // order.batches.at(0)[1]))]
    )
    for place, number in enumerate(numbers[: epochs * total].tolist()):
        counts[place // total, number] += 1
    return counts


def weighted(sizes: tuple[int, ...], counts: tuple[int, ...], batch: int = 7) -> Order:
    shares = Shares((sizes,), (counts,))
    return Order(5, 0, shares.epochs, even(batch), shares)


def test_weights_are_how_often_a_text_comes_in_each_epoch() -> None:
    order = weighted((10, 20, 5), (20, 10, 5))
    counts = seen(order, 4)
    assert (counts[:, :10] == 2).all()
    assert (counts[:, 30:] == 1).all()
    halves = counts[:, 10:30]
    assert (halves.sum(axis=1) == 10).all()
    assert (halves[0] + halves[1] == 1).all()
    assert (halves[2] + halves[3] == 1).all()
    assert (halves[0] != halves[2]).any()


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 30)), min_size=1, max_size=4),
    batch=st.integers(1, 20),
)
def test_no_sample_of_a_text_is_seen_more_than_once_oftener_than_another(
    texts: list[tuple[int, int]], batch: int
) -> None:
    texts = [(size, count if size else 0) for size, count in texts] + [(3, 3)]
    sizes, wanted = zip(*texts, strict=True)
    counts = seen(weighted(sizes, wanted, batch), 3).sum(axis=0)
    for begin, size, count in zip(itertools.accumulate((0, *sizes)), sizes, wanted, strict=False):
        mine = counts[begin : begin + size]
        assert mine.sum() == 3 * count
        assert size == 0 or mine.max() - mine.min() <= 1


def test_weights_of_one_change_nothing() -> None:
    plain = Order(5, 2, Epochs((17,)), even(4))
    same = Order(5, 2, Epochs((17,)), even(4), Shares(((8, 9),), ((8, 9),)))
    for step in range(20):
        for ours, theirs in zip(plain.at(step), same.at(step), strict=True):
            assert ours.tolist() == theirs.tolist()


def corpora(folder: Path, weights: list[float] | None, **data: Any) -> tuple[Prepared, ResolvedRun]:
    claim = folder / "text"
    claim.mkdir(exist_ok=True)
    for name in "abc":
        lines = [f"{name}{name}{name} number {n}" for n in range({"a": 6, "b": 12, "c": 4}[name])]
        (claim / f"{name}.txt").write_text("\n".join(lines))
    (claim / "held.txt").write_text("some more words")
    # A file belongs to the first location that names it.
    train = [f"pvc://text/{name}.txt" for name in "ab"] + ["pvc://text/[abc].txt"]
    given = {"weights": weights} if weights else {}
    run = configured(data={"train": train, "documents": "line", **given, **data})
    return made(folder, run), run


def test_corpora_with_weights_are_trained_on_as_often_as_they_say(tmp_path: Path) -> None:
    prepared, run = corpora(tmp_path, [2, 0.5, 1])
    rows = TrainingRows(prepared, run, 0)
    total = 2 * 6 + 12 // 2 + 4
    batches = [rows.micro_batches(step, 0, 1) for step in range(2 * total // BATCH)]
    texts = Counter(tuple(s) for batch in batches for s in sequences(batch))
    letters = {prepared.vocabulary.encode([letter * 3])[0][0]: letter for letter in "abc"}
    assert {letters[text[1]]: count for text, count in texts.items()} == {"a": 4, "b": 1, "c": 2}
    assert len(texts) == 22
    before = prepared.manifest_sha256
    assert corpora(tmp_path, [1, 1, 3])[0].manifest_sha256 == before


def test_a_text_that_comes_twice_in_an_epoch_is_masked_otherwise(tmp_path: Path) -> None:
    prepared, run = corpora(tmp_path, [6, 0.5, 1])
    rows = TrainingRows(prepared, run, 0)
    batches = [rows.micro_batches(step, 0, 1) for step in range((36 + 6 + 4) // BATCH)]
    shown: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for batch in batches:
        for row, plain in zip(batch, map(lambda r: sequences([r]), batch), strict=True):
            ends = np.cumsum(row.lengths)
            for n, end, text in zip(row.lengths, ends, plain, strict=True):
                shown.setdefault(tuple(text), set()).add(tuple(row.tokens[end - n : end].tolist()))
    assert max(map(len, shown.values())) > 2


def test_weights_that_leave_nothing_or_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MistakesError, match=r"data.weights: must have one weight for each entry"):
        configured(data={"weights": [1, 2]})
    prepared, run = corpora(tmp_path, [0.001, 0.001, 0.001])
    with pytest.raises(UserError, match=r"data.weights: are so small that an epoch has no seque"):
        TrainingRows(prepared, run, 0)


def test_row_025_held_out_rows_padded_to_their_length_measure_the_same(
    found: tuple[Prepared, ResolvedRun],
) -> None:
    prepared, run = found
    length, pad = run.phases[0].sequence_length, prepared.vocabulary.pad
    model = build.build("bert", run.model.architecture(), prepared.vocabulary, seed=0).eval()
    rows = list(EvaluationRows(prepared, run, 0).rows(0, 1))
    alone = World(0, 0, 1, torch.device("cpu"))
    packed = measure(model, rows, run, alone, unigram_losses(prepared.counts))
    shape = (sum(len(row.lengths) for row in rows), length)
    tokens, labels = torch.full(shape, pad), torch.full(shape, -100)
    sizes = [size for row in rows for size in row.lengths]
    places = [(number, column) for number, size in enumerate(sizes) for column in range(size)]
    flat = torch.from_numpy(np.concatenate([row.tokens for row in rows]))
    answers = torch.full((len(flat),), -100)
    begins = itertools.accumulate((len(row.tokens) for row in rows), initial=0)
    for begin, row in zip(begins, rows, strict=False):
        answers[torch.from_numpy(row.targets) + begin] = torch.from_numpy(row.labels)
    numbers, columns = map(torch.tensor, zip(*places, strict=True))
    tokens[numbers, columns], labels[numbers, columns] = flat, answers
    assert (labels[tokens == pad] == -100).all()
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        loss = model(input_ids=tokens, attention_mask=(tokens != pad).long(), labels=labels).loss
    assert int((labels != -100).sum()) == packed.predictions
    assert float(loss) == pytest.approx(packed.loss / packed.predictions, rel=1e-4)
