"""One step does the same however the global batch is cut, and says what it did."""

import json
import math

import pytest
import torch

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import TrainingRows, prepare
from lmtrainer.faults import InterruptedRunError
from lmtrainer.models import build
from lmtrainer.parallel.world import World
from lmtrainer.train.divergence import DivergedError
from lmtrainer.train.engine import Engine
from lmtrainer.train.loop import PhaseWork, run_phase
from lmtrainer.train.state import take

ALONE = World(0, 0, 1, torch.device("cpu"))
TEXT = "\n\n".join(
    " ".join(f"word{(i * j) % 37} and{(i + j) % 11}" for j in range(5 + i % 40)) for i in range(60)
)


def config(folder, kind="bert", micro="auto", **changes):
    plain = {
        "data": {"train": [str(folder / "text.txt")]},
        "tokenizer": {"train": {"vocabSize": 300}},
        "model": {
            "type": kind,
            "preset": "tiny",
            "config": {
                "layers": 2,
                "hiddenSize": 32,
                "heads": 2,
                "maxPositions": 32,
                "dropout": 0,
                "attentionDropout": 0,
            },
        },
        "phases": [
            {
                "name": "main",
                "steps": 9,
                "sequenceLength": 24,
                "globalBatchSize": 12,
                "microBatchSize": micro,
                "learningRate": 1e-2,
                "warmupSteps": 0,
            }
        ],
        "checkpoint": {"everySteps": 4},
        "output": {"to": str(folder / "out")},
    }
    plain = json.loads(json.dumps(plain))
    plain["model"]["config"].update(changes)
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("engine")
    (path / "text.txt").write_text(TEXT)
    return path


def make(folder, run):
    prepared = prepare(run, folder / f"out-{run.model.type}", {})
    sizes = run.model.architecture()
    model = build.build(run.model.type, sizes, prepared.vocabulary, seed=run.seed)
    rows = TrainingRows(prepared, run, 0)
    return Engine(model, run, ALONE, phase_index=0), rows


def steps(engine, rows, numbers, processes=1):
    results = []
    for step in numbers:
        batch = [r for rank in range(processes) for r in rows.micro_batches(step, rank, processes)]
        results.append(engine.step(batch, step=step, learning_rate=1e-2, stop=False))
    return results


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_accumulated_parts_move_the_weights_like_the_whole_batch(folder, kind):
    whole, rows = make(folder, config(folder, kind))
    parts, small_rows = make(folder, config(folder, kind, micro=2))
    assert len(rows.micro_batches(0, 0, 1)) == 1
    assert len(small_rows.micro_batches(0, 0, 1)) == 6
    for one, other in zip(
        steps(whole, rows, range(3)), steps(parts, small_rows, range(3)), strict=True
    ):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.gradient_norm == pytest.approx(other.gradient_norm, rel=1e-4)
        assert (one.tokens, one.targets) == (other.tokens, other.targets)
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        # An update moves a weight by up to 1e-2: two of a hundred of that are rounding.
        torch.testing.assert_close(a, b, atol=2e-4, rtol=1e-4)


def test_the_rows_of_three_ranks_are_the_batch_of_one(folder):
    one, rows = make(folder, config(folder))
    three, _ = make(folder, config(folder))
    for a, b in zip(steps(one, rows, range(3)), steps(three, rows, range(3), 3), strict=True):
        assert a.loss == pytest.approx(b.loss, rel=1e-5)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_the_loss_begins_at_that_of_guessing_and_falls(folder, kind):
    engine, rows = make(folder, config(folder, kind))
    losses = [r.loss for r in steps(engine, rows, range(30))]
    assert losses[0] == pytest.approx(math.log(engine.model.config.vocab_size), rel=0.05)
    assert losses[-1] < losses[0] - 0.5


def test_dropout_is_a_function_of_the_step(folder):
    run = config(folder, dropout=0.2)
    first, rows = make(folder, run)
    again, _ = make(folder, run)
    torch.rand(7)
    assert steps(first, rows, range(3)) == steps(again, rows, range(3))
    other, _ = make(folder, run)
    batch = rows.micro_batches(0, 0, 1)
    a = other.step(batch, step=0, learning_rate=0, stop=False).loss
    b = other.step(batch, step=1, learning_rate=0, stop=False).loss
    assert a != b


def test_a_state_put_back_goes_on_bit_for_bit(folder):
    run = config(folder, dropout=0.1)
    straight, rows = make(folder, run)
    steps(straight, rows, range(6))
    stopped, _ = make(folder, run)
    steps(stopped, rows, range(3))
    saved = take(stopped, state=None)
    weights = {name: tensor.clone() for name, tensor in saved.weights.items()}
    moments = {name: tensor.clone() for name, tensor in saved.optimizer.items()}
    fresh, _ = make(folder, run)
    fresh.model.load_state_dict(weights)
    fresh.sharing.put_back(fresh.optimizer, moments, steps=3)
    steps(fresh, rows, range(3, 6))
    for a, b in zip(straight.model.parameters(), fresh.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert json.loads(saved.model_config)["model_type"] == "bert"


class Notes:
    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.calls = []
        self.done = 0

    def stop_requested(self):
        return self.stop_at is not None and self.done + 1 >= self.stop_at

    def stepped(self, step, rate, result):
        self.done = step

    def evaluate(self, step):
        self.calls.append(("evaluate", step))

    def save(self, step, *, wait):
        self.calls.append(("save", step))


def work(run, rows, start=0):
    return PhaseWork(
        phase=run.phases[0],
        index=0,
        start=start,
        steps=9,
        rows=lambda step: rows.micro_batches(step, 0, 1),
    )


def test_a_phase_saves_every_so_often_and_at_its_end(folder):
    run = config(folder)
    engine, rows = make(folder, run)
    notes = Notes()
    run_phase(engine, work(run, rows), run, notes)
    assert notes.calls == [("save", 4), ("save", 8), ("save", 9)]


def test_a_request_to_stop_saves_the_step_and_ends(folder):
    run = config(folder)
    engine, rows = make(folder, run)
    notes = Notes(stop_at=6)
    with pytest.raises(InterruptedRunError, match="main step 6"):
        run_phase(engine, work(run, rows), run, notes)
    assert notes.calls == [("save", 4), ("save", 6)]


def test_a_loss_that_is_no_number_ends_the_phase_and_changes_nothing(folder):
    run = config(folder)
    engine, rows = make(folder, run)
    with torch.no_grad():
        engine.model.bert.embeddings.LayerNorm.weight[0] = float("nan")
    before = [p.clone() for p in engine.model.parameters()]
    with pytest.raises(DivergedError, match="loss is nan") as caught:
        run_phase(engine, work(run, rows), run, Notes())
    assert (caught.value.first, caught.value.last) == (0, 0)
    for a, b in zip(before, engine.model.parameters(), strict=True):
        assert torch.equal(a.nan_to_num(), b.detach().nan_to_num())
