"""The trainer's configuration: its rules, and what is filled in."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from lmtrainer.config import (
    ResolvedRun,
    document,
    parse,
    resolve,
)
from lmtrainer.config.architecture import (
    PRESETS,
)
from lmtrainer.config.phase import Phase, batch_mistakes, batch_shape, warmup_steps
from lmtrainer.config.places import volume_claims
from tests.lmtrainer.configs import config, resolved, told


def test_the_configuration_needs_the_standard_library_only():
    code = (
        "import sys, lmtrainer.config, lmtrainer.contract.reports, lmtrainer.contract.environment;"
        "print([n for n in sys.modules if n.split('.')[0] in "
        "('torch', 'transformers', 'tokenizers', 'numpy', 'yaml', 'rich', 'safetensors')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": {}}, "data.train: required; give at least one file or pattern"),
        (
            {"data": {"train": ["a"], "encoding": "utf-9"}},
            'data.encoding: unknown encoding (got "utf-9"); such as "utf-8"',
        ),
        ({"data": {"train": ["a"], "encoding": "base64"}}, "data.encoding: unknown encoding"),
        ({"data": {"train": ["a"], "encoding": "undefined"}}, "data.encoding: unknown encoding"),
        (
            {"data": {"train": ["a"], "cache": "sample://jargon"}},
            "data.cache: cannot be written to",
        ),
        (
            {"data": {"train": ["a"], "validation": {"share": 0.1, "files": ["b"]}}},
            "data.validation: needs either share or files; give one of them",
        ),
        ({"data": {"train": ["a"], "validation": {}}}, "data.validation: needs either share or"),
        (
            {"data": {"train": ["a"], "validation": {"share": 1}}},
            "data.validation.share: must be < 1 (got 1)",
        ),
        (
            {"tokenizer": {"train": {}, "from": "x"}},
            "tokenizer: has both train and from; give one of them",
        ),
        (
            {"tokenizer": {"train": {"vocabSize": 10}}},
            "tokenizer.train.vocabSize: must be >= 300 (got 10)",
        ),
        (
            {"tokenizer": {"train": {"type": "wordlevel", "vocabSize": 9, "minFrequency": 2}}},
            "tokenizer.train.minFrequency: vocabSize and minFrequency are both given, of which "
            "wordlevel takes one (got 2); remove one",
        ),
        (
            {"tokenizer": {"train": {"type": "unigram", "minFrequency": 2}}},
            "tokenizer.train.minFrequency: unigram has none (got 2); remove it",
        ),
        (
            {"tokenizer": {"train": {"type": "bytebpe", "unigram": {}}}},
            "tokenizer.train.unigram: is for type unigram; remove it, or set type: unigram",
        ),
        (
            {"tokenizer": {"train": {"segmenter": "newmm"}}},
            'tokenizer.train.segmenter: is for type wordlevel (got "newmm")',
        ),
        (
            {"model": {"type": "bert", "preset": "bse"}},
            "model.preset: bert has the presets tiny, mini, small, medium, base, large "
            '(got "bse"); did you mean "base"?',
        ),
        (
            {"model": {"type": "groupbert", "config": {"hiddenSize": 40, "heads": 2}}},
            "model.config.hiddenSize: is not divisible by 16, as groupbert needs it (got 40); "
            "nearest 32 or 48",
        ),
        (
            {"model": {"type": "groupbert", "config": {"intermediateSize": 514}}},
            "model.config.intermediateSize: is not divisible by 4, as groupbert needs it",
        ),
        (
            {"model": {"type": "bert", "resizeEmbeddings": True}},
            "model.resizeEmbeddings: is for a model that is taken from a folder",
        ),
        (
            {"optimizer": {"type": "adam", "weightDecay": 0.1}},
            "optimizer.weightDecay: adam has none",
        ),
        (
            {"phases": [{"name": "a", "steps": 9, "warmupSteps": 1, "warmupShare": 0.1}]},
            "phases[0].warmupShare: warmupSteps and warmupShare are both given",
        ),
        (
            {"phases": [{"name": "a", "steps": 9, "finalLearningRate": 1}]},
            "phases[0].finalLearningRate: is more than learningRate 0.0001",
        ),
        (
            {"model": {"preset": "tiny"}},
            "model.type: required; give type: bert, roberta, groupbert, gpt2",
        ),
        (
            {"model": {"type": "bert", "from": "x", "preset": "tiny"}},
            'model.from: a saved model keeps its sizes (got "x"); remove preset and the sizes',
        ),
        (
            {"model": {"type": "bert", "from": "x", "config": {"activation": "relu", "layers": 2}}},
            'model.from: a saved model keeps its sizes (got "x"); remove preset and the sizes',
        ),
        (
            {"model": {"type": "groupbert", "config": {"activation": "relu"}}},
            'model.config.activation: groupbert computes gelu (got "relu")',
        ),
        (
            {"model": {"type": "gpt2"}, "evaluate": {"fill": ["a [MASK]"]}},
            "evaluate.fill: gpt2 has no [MASK] to fill in",
        ),
        ({"evaluate": {"fill": ["a"]}}, 'evaluate.fill[0]: has no [MASK] to fill in (got "a")'),
        ({"masking": {"masked": 0.9, "random": 0.2}}, "masking.random: masked + random is 1.1"),
        (
            {"phases": [{"name": "a", "steps": 1}, {"name": "a", "steps": 1}]},
            'phases[1].name: is used twice (got "a")',
        ),
        ({"phases": [{"name": "A b", "steps": 1}]}, "phases[0].name: must be lower-case letters"),
        (
            {"phases": [{"name": "a"}]},
            "phases[0].steps: required; give steps or epochs, or a share",
        ),
        (
            {"phases": [{"name": "a", "steps": 1, "globalBatchSize": 4, "microBatchSize": 8}]},
            "phases[0].microBatchSize: is more than globalBatchSize 4 (got 8)",
        ),
        ({"seed": -1}, "seed: must be >= 0 (got -1)"),
        ({"seed": 2**63}, "seed: must fit in 64 bits"),
        ({"optimizer": {"beta1": 1}}, "optimizer.beta1: must be < 1 (got 1)"),
    ],
)
def test_a_mistake_is_told(fields, message):
    (found,) = told(**fields)
    assert found.startswith(message)


@pytest.mark.parametrize("epochs", [1, 0.5])
def test_epochs_may_stand_for_steps(epochs):
    assert told(phases=[{"name": "a", "epochs": epochs, "warmupSteps": 10**6}]) == []


def test_a_sequence_may_be_as_long_as_the_model_can_read():
    phase = {"name": "a", "steps": 1, "sequenceLength": 1024}
    assert len(told(phases=[phase])) == 1
    assert told(phases=[phase], model={"type": "bert", "config": {"maxPositions": 1024}}) == []
    assert told(phases=[phase], model={"type": "gpt2"}) == []
    assert told(phases=[phase], model={"type": "bert", "from": "x"}) == []


def test_every_preset_is_valid():
    for kind, presets in PRESETS.items():
        for preset in presets:
            assert told(model={"type": kind, "preset": preset}) == []


def test_changes_go_over_the_preset_and_width_follows():
    sizes = config(model={"type": "bert", "preset": "tiny", "config": {"hiddenSize": 64}}).model
    assert sizes.architecture().intermediate_size == 256
    assert sizes.architecture().layers == 2


class TestResolution:
    def test_no_auto_and_no_name_for_sizes_is_left(self):
        run = resolved()
        plain = document(run)
        assert "auto" not in (plain["precision"], plain["threadsPerProcess"])
        assert plain["tokenizer"]["train"]["type"] == "wordpiece"
        assert plain["tokenizer"]["train"]["vocabSize"] == 30522
        assert plain["objective"] == "mlm"
        assert plain["model"]["config"]["hiddenSize"] == 128
        assert "preset" not in plain["model"]
        assert plain["phases"][0]["warmupSteps"] == 10

    def test_it_changes_nothing_that_was_said(self):
        fields = {
            "precision": "bf16",
            "threadsPerProcess": 7,
            "tokenizer": {"train": {"type": "bytebpe", "vocabSize": 500}},
        }
        run = resolved(**fields)
        assert (run.precision, run.threads_per_process) == ("bf16", 7)
        assert (run.tokenizer.train.type, run.tokenizer.train.vocab_size) == ("bytebpe", 500)
        sizes = config(**fields).model.architecture()
        assert run.model.architecture() == sizes

    def test_again_it_changes_nothing(self):
        run = resolved()
        assert resolve(run, precision="bf16", threads=9) == run
        assert parse(ResolvedRun, document(run)) == run

    def test_what_only_the_data_can_tell_is_left(self):
        run = resolved(
            phases=[{"name": "a", "epochs": 2}],
            model={"type": "gpt2", "from": "x"},
            tokenizer={"from": "y"},
        )
        assert run.phases[0].warmup_steps is None
        assert run.model.from_ == "x"
        assert run.tokenizer.train is None

    def test_other_presets_of_a_newer_version_do_not_change_a_resolved_run(self, monkeypatch):
        run = resolved()
        before = run.model.architecture()
        monkeypatch.setattr("lmtrainer.config.model.PRESETS", {"bert": {"base": None}})
        monkeypatch.setattr(
            "lmtrainer.config.model.PRESETS", {"bert": {"base": PRESETS["bert"]["large"]}}
        )
        assert run.model.architecture() == before


class TestBatches:
    def phase(self, **fields: Any) -> Phase:
        return parse(Phase, {"name": "a", "steps": 1, **fields})

    @pytest.mark.parametrize(
        ("fields", "world", "micro", "accumulation"),
        [
            ({"globalBatchSize": 768, "microBatchSize": 24}, 32, 24, 1),
            ({"globalBatchSize": 768, "microBatchSize": 6}, 32, 6, 4),
            ({"globalBatchSize": 256}, 4, 32, 2),
            ({"globalBatchSize": 24}, 3, 8, 1),
            ({"globalBatchSize": 100}, 3, 32, 2),
        ],
    )
    def test_a_batch_is_cut_for_the_processes(self, fields, world, micro, accumulation):
        shape = batch_shape(self.phase(**fields), world)
        assert (shape.micro, shape.accumulation) == (micro, accumulation)
        assert shape.micro * shape.accumulation * world >= fields["globalBatchSize"]

    @pytest.mark.parametrize(("size", "near"), [(30, "16 or 32"), (9, "16"), (33, "32 or 48")])
    def test_a_batch_that_does_not_come_out_even_is_refused(self, size, near):
        phase = self.phase(globalBatchSize=size, microBatchSize=4)
        (mistake,) = batch_mistakes(phase, 4)
        assert mistake.way_out == f"{near} fits"

    def test_a_tenth_of_the_steps_is_the_warm_up_unless_said(self):
        assert warmup_steps(self.phase(), 95) == 9
        assert warmup_steps(self.phase(warmupSteps=0), 95) == 0


def test_claims_are_those_of_every_location():
    run = config(
        data={"train": ["pvc://a/x"], "validation": {"files": ["pvc://b/x"]}, "cache": "pvc://c/x"},
        model={"type": "bert", "from": "pvc://d/x"},
        tokenizer={"from": "pvc://e/x"},
    )
    assert volume_claims(run) == ("a", "b", "c", "d", "e", "results")
