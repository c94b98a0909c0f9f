"""Rows 100, 101 and 113 to 115: phases of other lengths and objectives, and what is measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForMaskedLM

from lmtrainer.config import MistakesError, ResolvedRun, RunConfig, document, parse, resolve
from lmtrainer.config.shares import shared_out
from lmtrainer.dataset import EvaluationRows, TrainingRows, open_prepared
from lmtrainer.evaluate.measure import Totals, measure, unigram_losses
from lmtrainer.models import build
from lmtrainer.models.objective import pair_scores, target_hidden, to_device, word_scores
from lmtrainer.parallel.world import World
from lmtrainer.stages import train
from lmtrainer.train.engine import Engine
from tests.rows.paired import documents
from tests.rows.small_run import carry_out, context, run_of
from tests.runs import metrics

CPU = torch.device("cpu")
PHASES = [
    {
        "name": "pairs",
        "steps": 4,
        "sequenceLength": 24,
        "globalBatchSize": 4,
        "objective": "mlm+nsp",
        "learningRate": 0.01,
    },
    {"name": "words", "steps": 3, "sequenceLength": 32, "globalBatchSize": 4, "objective": "mlm"},
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a phase of pairs and one without."""
    return carried_out(tmp_path_factory.mktemp("phases"), phases=PHASES)


def settings(folder: Path, **fields: Any) -> dict[str, Any]:
    text = folder / "sentences.txt"
    text.write_text(documents())
    return {"data": {"train": [str(text)]}, **fields}


def carried_out(folder: Path, **fields: Any) -> Path:
    torch.set_num_threads(1)
    return carry_out(folder, **settings(folder, **fields))


def test_row_100_a_phase_begins_at_step_0_with_the_weights_before_it_and_runs_all_its_steps(
    finished: Path,
) -> None:
    trained = [row for row in metrics(finished) if "loss" in row]
    assert [(row["phaseIndex"], row["step"]) for row in trained] == [
        *((0, step) for step in (1, 2, 3, 4)),
        *((1, step) for step in (1, 2, 3)),
    ]
    checkpoints = sorted(finished.glob("checkpoints/*"))
    states = [json.loads((path / "state.json").read_text()) for path in checkpoints]
    ends = {(s["position"]["phaseIndex"], s["position"]["step"]) for s in states}
    assert {(0, 4), (1, 3)} <= ends
    (before,) = [
        path
        for path, state in zip(checkpoints, states, strict=True)
        if (state["position"]["phaseIndex"], state["position"]["step"]) == (0, 4)
    ]
    engine, rows = second_phase(finished, build.from_folder("bert", before))
    result = engine.step(rows.micro_batches(0, 0, 1), step=0, learning_rate=0, stop=False)
    assert result.loss == pytest.approx(trained[4]["loss"], abs=1e-6)
    assert result.gradient_norm == pytest.approx(trained[4]["gradientNorm"], rel=1e-5)
    assert result.pairs is None


def second_phase(finished: Path, model: Any) -> tuple[Engine, TrainingRows]:
    run = run_of(finished.parent, **settings(finished.parent, phases=PHASES))
    prepared = open_prepared(run, finished, {})
    engine = Engine(model, run, World(0, 0, 1, CPU), phase_index=1)
    return engine, TrainingRows(prepared, run, 1)


def test_row_103_a_phase_without_pairs_goes_on_where_it_was_after_one_with_them(
    finished: Path,
) -> None:
    folder = finished.parent
    again = shutil.copytree(finished, folder / "again")
    for path in (again / "records" / "train.json", again / "records" / "evaluate.json"):
        path.unlink()
    shutil.rmtree(again / "model")
    shutil.rmtree(again / "checkpoints" / "1-words-step-00000003")
    run = run_of(folder, **settings(folder, phases=PHASES, output={"to": str(again)}))
    train.run(context(folder, "train", run, attempt=2))
    assert [row["step"] for row in metrics(again) if "loss" in row] == [1, 2, 3, 4, 1, 2, 3]
    old, new = (load_file(path / "model" / "model.safetensors") for path in (finished, again))
    assert all(torch.equal(old[name], new[name]) for name in old)


def test_row_113_measuring_masked_tokens_alone_is_the_masked_part_of_measuring_both(
    tmp_path: Path,
) -> None:
    both = carried_out(tmp_path, objective="mlm+nsp")
    found = json.loads((both / "evaluation.json").read_text())
    run = run_of(tmp_path, **settings(tmp_path, objective="mlm+nsp", evaluate={"onlyMlm": True}))
    prepared = open_prepared(run, both, {})
    model = build.from_folder("bert", both / "model")
    rows = EvaluationRows(prepared, run, 1).rows(0, 1)
    alone = measure(model, rows, run, World(0, 0, 1, CPU), unigram_losses(prepared.counts))
    assert (alone.pairs, alone.pair_accuracy) == (0, None)
    assert alone.mean_loss == pytest.approx(found["mlmLoss"], abs=1e-6)
    assert alone.perplexity == pytest.approx(found["perplexity"], rel=1e-6)
    assert alone.accuracy == pytest.approx(found["accuracy"])
    results = json.loads((both / "all_results.json").read_text())
    # Row 114: what is reported is the sum of both parts, in every file.
    total = results["eval_mlm_loss"] + results["eval_nsp_loss"]
    assert results["eval_loss"] == pytest.approx(total, abs=1e-9)
    assert found["loss"] == pytest.approx(found["mlmLoss"] + found["nspLoss"], abs=1e-9)
    assert 0 <= results["eval_nsp_accuracy"] <= 1
    assert results["eval_pairs"] == sum(
        len(r.lengths) for r in EvaluationRows(prepared, run, 1).rows(0, 1)
    )
    for row in metrics(both):
        if "loss" in row:
            assert row["mlmLoss"] + row["nspLoss"] == pytest.approx(row["loss"], abs=1e-9)
            assert row["nspAccuracy"] in {0.0, 0.25, 0.5, 0.75, 1.0}
        if "heldOutLoss" in row:
            parts = row["heldOutMlmLoss"] + row["heldOutNspLoss"]
            assert row["heldOutLoss"] == pytest.approx(parts, abs=1e-9)


def test_row_114_and_row_115_accuracies_are_those_that_are_counted_by_hand(finished: Path) -> None:
    folder = finished.parent
    run = run_of(folder, **settings(folder, phases=PHASES))
    prepared = open_prepared(run, finished, {})
    model = build.from_folder("bert", finished / "model").eval()
    rows = list(EvaluationRows(prepared, run, 0).rows(0, 1))
    found = measure(model, rows, run, World(0, 0, 1, CPU), unigram_losses(prepared.counts))
    right = pairs = words = labels = 0
    with torch.inference_mode():
        for row in rows:
            targets, first = target_hidden(model, to_device(row, CPU))
            said, follows = word_scores(model, targets), pair_scores(model, first)
            assert follows is not None and row.pair_labels is not None
            right += sum(
                int(a) == b for a, b in zip(follows.argmax(-1), row.pair_labels, strict=True)
            )
            words += sum(int(a) == b for a, b in zip(said.argmax(-1), row.labels, strict=True))
            pairs, labels = pairs + len(row.pair_labels), labels + len(row.labels)
    assert found == Totals(found.loss, found.baseline, words, labels, found.pair_loss, right, pairs)


def test_the_head_for_pairs_waits_while_words_alone_are_trained(finished: Path) -> None:
    (before,) = finished.glob("checkpoints/0-pairs-step-00000004")
    old, new = (load_file(path / "model.safetensors") for path in (before, finished / "model"))
    for name in ("bert.pooler.dense.weight", "cls.seq_relationship.bias"):
        assert torch.equal(old[name], new[name])
    assert not torch.equal(old["bert.pooler.dense.weight"], torch.zeros(16, 16))
    body = "bert.encoder.layer.0.output.dense.weight"
    assert not torch.equal(old[body], new[body])
    assert json.loads((finished / "model/config.json").read_text())["architectures"] == [
        "BertForPreTraining"
    ]
    AutoModelForMaskedLM.from_pretrained(finished / "model")


def shares(steps: int | None, *phases: dict[str, Any]) -> Any:
    named = [{"name": f"p{number}", **phase} for number, phase in enumerate(phases)]
    plain = {
        "data": {"train": ["a.txt"]},
        "model": {"type": "bert"},
        "phases": named,
        "output": {"to": "out"},
        **({} if steps is None else {"steps": steps}),
    }
    return resolve(parse(RunConfig, plain), precision="fp32", threads=1)


def test_row_101_ninety_percent_of_the_steps_then_ten() -> None:
    run = shares(100_000, {"share": 0.9}, {"share": 0.1, "sequenceLength": 512})
    assert [phase.steps for phase in run.phases] == [90_000, 10_000]
    assert [phase.warmup_steps for phase in run.phases] == [9000, 1000]
    assert parse(ResolvedRun, document(run)) == run
    thirds = shares(100, *[{"share": 1 / 3}] * 3)
    assert [phase.steps for phase in thirds.phases] == [33, 34, 33]
    assert sum(shared_out(12_345, [0.1] * 10)) == 12_345


@pytest.mark.parametrize(
    ("steps", "phases", "expected"),
    [
        (None, [{"share": 1}], "steps: left out, though phases have shares of them; give them"),
        (9, [{"steps": 1}], "steps: no phase has a share of them"),
        (
            9,
            [{"share": 0.5}, {"steps": 1}],
            r"phases\[1\].share: required; give every phase a share",
        ),
        (
            9,
            [{"share": 0.5}, {"share": 0.4}],
            "phases: the shares of all phases add up to 0.9, not",
        ),
        (9, [{"share": 0.99}, {"share": 0.01}], r"phases\[1\].share: makes no step of 9"),
        (
            9,
            [{"share": 1, "warmupSteps": 10}],
            r"phases\[0\].warmupSteps: is more than the 9 steps",
        ),
        (9, [{"share": 1, "epochs": 1}], r"phases\[0\].share: is given beside steps or epochs"),
    ],
)
def test_shares_that_do_not_come_out_are_refused(
    steps: int | None, phases: list[dict[str, Any]], expected: str
) -> None:
    with pytest.raises(MistakesError, match=expected):
        shares(steps, *phases)


@pytest.mark.slow
def test_row_060_what_follows_what_is_learnt(tmp_path: Path) -> None:
    """Documents of twelve topics, each with words of its own: what follows is of the same one."""
    text = []
    for number in range(300):
        words = [f"t{number % 12}x{i}" for i in range(6)]
        lines = [
            [words[(i * j + number) % 6] for j in range(3 + (i + number) % 4)] for i in range(6)
        ]
        text.append("\n".join(map(" ".join, lines)))
    (tmp_path / "topics.txt").write_text("\n\n".join(text))
    sizes = {"layers": 2, "hiddenSize": 32, "heads": 2, "maxPositions": 64}
    phase = {"sequenceLength": 24, "globalBatchSize": 32, "learningRate": 5e-3}
    output = carry_out(
        tmp_path,
        objective="mlm+nsp",
        data={"train": [str(tmp_path / "topics.txt")], "validation": {"share": 0.1}},
        tokenizer={"train": {"type": "wordlevel", "vocabSize": 80}},
        model={
            "type": "bert",
            "preset": "tiny",
            "config": {**sizes, "dropout": 0, "attentionDropout": 0},
        },
        phases=[{"name": "main", "steps": 200, **phase}],
        evaluate={},
        checkpoint={"everySteps": 1000},
    )
    results = json.loads((output / "all_results.json").read_text())
    assert results["eval_nsp_accuracy"] > 0.75
    assert results["eval_mlm_loss"] < 3.5
