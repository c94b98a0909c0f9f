"""Packed rows: all of the text, the right labels, the same for any number of processes."""

import itertools
from collections import Counter

import numpy as np
import pytest

from lmtrainer.dataset import EvaluationRows, TrainingRows, open_prepared, prepare, training_steps
from lmtrainer.dataset.batches import steps_of
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.text.sources import expand

LENGTH = 24


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    (path,) = expand(["sample://jargon"], {})
    folder = tmp_path_factory.mktemp("corpus")
    documents = path.read_text("utf-8").split("\n\n")[:150]
    (folder / "a.txt").write_text("\n\n".join(documents), "utf-8")
    return folder


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def make(text, outputs, run_config):
    """A prepared dataset and its configuration; each family is prepared once."""

    def made(kind="bert", *, phases=({},), **fields):
        train = {"type": "wordpiece" if kind == "bert" else "bytebpe", "vocabSize": 500}
        phase = {"name": "main", "steps": 5, "sequenceLength": LENGTH, "globalBatchSize": 16}
        run = run_config(
            data={"train": ["pvc://corpus/a.txt"], "validation": {"share": 0.2}},
            tokenizer={"train": train},
            model={"type": kind, "preset": "tiny"},
            phases=[{**phase, "name": f"p{i}", **more} for i, more in enumerate(phases)],
            **fields,
        )
        claims = {"corpus": str(text)}
        if not (outputs / kind).exists():
            prepare(run, outputs / kind, claims)
        return open_prepared(run, outputs / kind, claims), run

    return made


def sequences(batch):
    """Each sequence of a row: (what the model sees, its places to predict, their labels)."""
    assert len(batch.tokens) == len(batch.positions) == sum(batch.lengths)
    ends = np.cumsum(batch.lengths)
    for begin, end in zip(ends - batch.lengths, ends, strict=True):
        assert batch.positions[begin:end].tolist() == list(range(end - begin))
        mine = (batch.targets >= begin) & (batch.targets < end)
        yield (
            tuple(batch.tokens[begin:end].tolist()),
            tuple((batch.targets[mine] - begin).tolist()),
            tuple(batch.labels[mine].tolist()),
        )


def all_sequences(batches):
    return [found for batch in batches for found in sequences(batch)]


def unmasked(sequence):
    tokens, targets, labels = sequence
    tokens = list(tokens)
    for target, label in zip(targets, labels, strict=True):
        tokens[target] = label
    return tokens


def stored(tokens):
    ids = np.empty(len(tokens), dtype=np.int64)
    tokens.copy(0, ids)
    return ids.tolist()


def epoch_of(prepared, run, world=1):
    """All sequences of the first epoch, which the steps fill exactly."""
    rows = TrainingRows(prepared, run, 0)
    (steps,) = training_steps(prepared, run)
    for step, rank in itertools.product(range(steps), range(world)):
        yield from all_sequences(rows.micro_batches(step, rank, world))


def one_epoch(prepared):
    """A global batch that is a whole epoch of bert's samples."""
    offsets = prepared.train.offsets
    return int((-(-np.diff(offsets) // (LENGTH - 2))).sum())


def test_an_epoch_of_mlm_is_every_part_of_every_document_once(make):
    prepared, run = make()
    size = one_epoch(prepared)
    prepared, run = make(phases=[{"epochs": 1, "steps": None, "globalBatchSize": size}])
    found = [unmasked(sequence) for sequence in epoch_of(prepared, run)]
    vocabulary = prepared.vocabulary
    assert len(found) == size
    assert all(s[0] == vocabulary.cls and s[-1] == vocabulary.sep for s in found)
    assert max(map(len, found)) <= LENGTH
    inner = Counter(token for sequence in found for token in sequence[1:-1])
    assert inner == Counter(stored(prepared.train))
    # End to end the parts are the documents: every document begins and ends with one of them.
    begins = {tuple(sequence[1:5]) for sequence in found}
    ids = stored(prepared.train)
    assert all(
        tuple(ids[at : at + 4]) in begins for at in prepared.train.offsets[:-1].tolist()[::9]
    )


def test_clm_predicts_the_next_token_everywhere(make):
    prepared, run = make("gpt2")
    blocks = -(-len(prepared.train) // LENGTH)
    prepared, run = make("gpt2", phases=[{"epochs": 1, "steps": None, "globalBatchSize": blocks}])
    found = list(epoch_of(prepared, run))
    stream = stored(prepared.train)
    expected = {tuple(stream[at : at + LENGTH]) for at in range(0, len(stream), LENGTH)}
    assert {tokens for tokens, _, _ in found} == {e for e in expected if len(e) > 1}
    for tokens, targets, labels in found:
        assert targets == tuple(range(len(tokens) - 1))
        assert labels == tokens[1:]


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("micro", ["auto", 1])
def test_any_number_of_processes_sees_the_same_global_batch(make, kind, micro):
    prepared, run = make(kind, phases=[{"globalBatchSize": 12, "microBatchSize": micro}])
    rows = TrainingRows(prepared, run, 0)
    for step in (0, 1, 40):
        alone = Counter(all_sequences(rows.micro_batches(step, 0, 1)))
        assert sum(alone.values()) == 12
        for world in (2, 3, 5):
            shares = [rows.micro_batches(step, rank, world) for rank in range(world)]
            assert all(shares)
            assert Counter(itertools.chain(*map(all_sequences, shares))) == alone


def test_rows_have_at_most_the_micro_batch_in_sequences(make):
    prepared, run = make(phases=[{"globalBatchSize": 24, "microBatchSize": 4}])
    rows = TrainingRows(prepared, run, 0)
    for rank in range(3):
        assert [len(row.lengths) for row in rows.micro_batches(7, rank, 3)] == [4, 4]


def test_a_step_does_not_depend_on_what_came_before(make):
    prepared, run = make(phases=[{"globalBatchSize": 32}])
    rows = TrainingRows(prepared, run, 0)
    forth = [all_sequences(rows.micro_batches(step, 1, 2)) for step in range(30)]
    back = [
        all_sequences(TrainingRows(prepared, run, 0).micro_batches(step, 1, 2))
        for step in reversed(range(30))
    ]
    assert forth == back[::-1]


def test_masks_change_with_the_epoch_and_order_with_the_phase(make):
    size = one_epoch(make()[0])
    prepared, run = make(phases=[{"globalBatchSize": size}, {"globalBatchSize": size}])

    def masks(phase, step):
        found = all_sequences(TrainingRows(prepared, run, phase).micro_batches(step, 0, 1))
        return {(tuple(unmasked(sequence)), sequence[1]) for sequence in found}

    first, second, other = masks(0, 0), masks(0, 1), masks(1, 0)
    assert {text for text, _ in first} == {text for text, _ in second}
    # Few parts are so short that two epochs must hide the same.
    assert len(first & second) < 0.2 * len(first)
    assert len(first & other) < 0.2 * len(first)


def test_evaluation_is_the_same_each_time_and_for_any_number_of_processes(make):
    prepared, run = make()
    rows = EvaluationRows(prepared, run, 0, max_tokens=100)
    alone = list(rows.rows(0, 1))
    again = list(EvaluationRows(prepared, run, 0, max_tokens=100).rows(0, 1))
    assert [all_sequences([row]) for row in alone] == [all_sequences([row]) for row in again]
    assert all(len(row.tokens) <= 100 for row in alone)
    assert sum(len(row.tokens) for row in alone) > 60 * len(alone)
    for world in (2, 3):
        shares = [list(rows.rows(rank, world)) for rank in range(world)]
        assert [len(share) for share in shares] == [
            len(range(rank, len(alone), world)) for rank in range(world)
        ]
        together = Counter(itertools.chain(*map(all_sequences, shares)))
        assert together == Counter(all_sequences(alone))


def test_evaluation_reads_all_held_out_text_and_nothing_else(make):
    prepared, run = make()
    rows = EvaluationRows(prepared, run, 0).rows(0, 1)
    found = [unmasked(sequence)[1:-1] for sequence in all_sequences(rows)]
    assert Counter(itertools.chain(*found)) == Counter(stored(prepared.validation))


def test_a_sequence_longer_than_the_row_is_a_row_of_its_own(make):
    prepared, run = make()
    rows = list(EvaluationRows(prepared, run, 0, max_tokens=10).rows(0, 1))
    assert all(len(row.lengths) == 1 for row in rows if len(row.tokens) > 10)
    assert any(len(row.tokens) > 10 for row in rows)


def test_epochs_become_steps(make):
    _, run = make(
        phases=[
            {"steps": 7},
            {"steps": None, "epochs": 2, "globalBatchSize": 10},
            {"steps": None, "epochs": 0.25, "globalBatchSize": 10},
            {"steps": None, "epochs": 0.001, "globalBatchSize": 10},
        ]
    )
    assert [steps_of(phase, Epochs((101,))) for phase in run.phases] == [7, 21, 3, 1]


def test_longer_sequences_make_fewer_samples_and_steps(make):
    prepared, run = make(
        phases=[
            {"steps": None, "epochs": 1, "sequenceLength": 16},
            {"steps": None, "epochs": 1, "sequenceLength": 64},
        ]
    )
    short, long = training_steps(prepared, run)
    assert short > 2 * long > 0
