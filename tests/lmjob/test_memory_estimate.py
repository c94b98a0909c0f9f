"""The memory that `lmjob plan` promises, against the models that the trainer builds."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from lmjob.core.plan.estimate import estimate, parameter_count
from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.models.build import build
from lmtrainer.models.memory import spare
from lmtrainer.models.objective import DeviceBatch, Objective
from lmtrainer.models.precision import autocast
from lmtrainer.vocab import Vocabulary

CPU = torch.device("cpu")


def run_of(kind: str, vocabulary: int | None = None, **fields) -> RunConfig:
    plain = {
        "data": {"train": ["sample://jargon"]},
        "model": {"type": kind},
        "tokenizer": {"train": {"vocabSize": vocabulary} if vocabulary else {}},
        "phases": [{"name": "a", "steps": 1}],
        "output": {"to": "out"},
    }
    return resolve(parse(RunConfig, {**plain, **fields}), precision="fp32", threads=1)


def model_of(run: RunConfig) -> nn.Module:
    size = run.tokenizer.train.vocab_size
    vocabulary = Vocabulary(size=size, pad=1, unk=0, cls=2, sep=3, mask=4, eos=3)
    return build(run.model.type, run.model.architecture(), vocabulary, seed=0, pairs=run.has_pairs)


@pytest.mark.parametrize(
    ("kind", "preset", "published"),
    [
        ("bert", "tiny", None),
        ("bert", "base", 109_514_298),
        ("roberta", "base", 124_697_433),
        ("groupbert", "tiny", None),
        ("groupbert", "base", None),
        ("gpt2", "tiny", None),
        ("gpt2", "small", 124_439_808),
    ],
)
def test_parameters_are_counted_exactly(kind, preset, published):
    run = run_of(kind, model={"type": kind, "preset": preset})
    with torch.device("meta"):
        model = model_of(run)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert parameter_count(run) == counted
    assert published in (None, counted)


def test_other_widths_and_vocabularies_are_counted_exactly():
    sizes = {"layers": 3, "hiddenSize": 96, "heads": 4, "intermediateSize": 100, "maxPositions": 40}
    for kind in ("bert", "roberta", "gpt2"):
        run = run_of(
            kind,
            1234,
            model={"type": kind, "config": sizes},
            phases=[{"name": "a", "steps": 1, "sequenceLength": 40}],
        )
        with torch.device("meta"):
            counted = sum(parameter.numel() for parameter in model_of(run).parameters())
        assert parameter_count(run) == counted


@pytest.mark.parametrize("kind", ["bert", "groupbert"])
def test_the_head_for_pairs_of_sentences_is_counted(kind):
    run = run_of(kind, model={"type": kind, "preset": "tiny"}, objective="mlm+nsp")
    with torch.device("meta"):
        model = model_of(run)
    assert parameter_count(run) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["bert", "roberta", "groupbert", "gpt2"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", [(0, 0), (0.1, 0), (0.1, 0.1)])
@pytest.mark.parametrize(("length", "micro"), [(64, 4), (16, 12)])
def test_activations_are_those_that_torch_saves(kind, precision, dropout, length, micro):
    sizes = {"layers": 3, "hiddenSize": 128, "heads": 4, "intermediateSize": 400}
    changes = {"dropout": dropout[0], "attentionDropout": dropout[1]}
    phase = {"name": "a", "steps": 1, "sequenceLength": length, "globalBatchSize": micro}
    run = run_of(
        kind,
        1000,
        precision=precision,
        model={"type": kind, "config": {**sizes, **changes}},
        phases=[phase],
    )
    found = estimate(run, run.phases[0], world_size=1, on_gpu=False)
    saved, targets = saved_bytes(run, length, micro)
    scores = targets * 1000 * (4 if precision == "fp32" else 6)
    assert found.activations == pytest.approx(saved + scores, rel=0.05)


@pytest.mark.parametrize("kind", ["bert", "roberta", "groupbert", "gpt2"])
def test_row_083_gradient_checkpointing_and_chunks_are_known_to_the_plan(kind):
    sizes = {"layers": 6, "hiddenSize": 128, "heads": 4, "intermediateSize": 400}
    model = {"type": kind, "config": {**sizes, "dropout": 0, "attentionDropout": 0}}
    phases = [{"name": "a", "steps": 1, "sequenceLength": 64, "globalBatchSize": 8}]
    plain = run_of(kind, 1000, model=model, phases=phases)
    spared = run_of(kind, 1000, model=model, phases=phases, gradientCheckpointing=True)
    chunked = run_of(kind, 1000, model=model, phases=phases, lossChunks=8)
    found = [
        estimate(run, run.phases[0], world_size=1, on_gpu=False).activations
        for run in (plain, spared, chunked)
    ]
    kept = [saved_bytes(run, 64, 8)[0] for run in (plain, spared)]
    assert kept[0] - kept[1] == pytest.approx(found[0] - found[1], rel=0.25)
    targets = len(full_row(plain, 64, 8).targets)
    assert found[0] - found[2] == pytest.approx(targets * 7 / 8 * 1000 * 4, rel=0.05)


def full_row(run: RunConfig, length: int, rows: int) -> DeviceBatch:
    """A packed row of full sequences, with as many positions to predict as in training."""
    tokens = length * rows
    targets = round(tokens * run.masking.share) if run.objective == "mlm" else tokens
    return DeviceBatch(
        torch.zeros(1, tokens, dtype=torch.int64),
        torch.arange(length).repeat(rows)[None],
        (length,) * rows,
        torch.arange(targets),
        torch.zeros(targets, dtype=torch.int64),
    )


def saved_bytes(run: RunConfig, length: int, rows: int) -> tuple[int, int]:
    """What the forward pass of one full row keeps for backward, and the positions to predict."""
    model = model_of(run).train()
    batch = full_row(run, length, rows)
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept), autocast(run, CPU):
        spare(model, run)
        Objective(model, chunks=run.loss_chunks)(batch)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values()), len(batch.targets)


STEPS_AND_PEAK = """
import sys
import torch
from tests.lmjob.test_memory_estimate import full_row, model_of, run_of
from lmtrainer.models.objective import Objective
from lmtrainer.optim.build import build as build_optimizer
from lmtrainer.optim.update import update

torch.set_num_threads(1)
kind, preset, rows, length = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
run = run_of(kind, model={"type": kind, "preset": preset})
model = model_of(run).train()
optimizer = build_optimizer(model, run.optimizer)
for _ in range(2):
    Objective(model)(full_row(run, length, rows)).total.backward()
    update(optimizer, model.parameters(), learning_rate=1e-4, scale=1e-3, clip_norm=1.0)
# Not that of getrusage, which begins with the memory of the process that started this one.
status = open("/proc/self/status").read()
print(int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "preset", "rows", "length"),
    [("bert", "mini", 32, 64), ("gpt2", "tiny", 4, 128)],
)
def test_a_process_that_trains_needs_about_that_much(kind, preset, rows, length):
    phase = {"name": "a", "steps": 1, "sequenceLength": length, "globalBatchSize": rows}
    run = run_of(kind, model={"type": kind, "preset": preset}, phases=[phase])
    found = estimate(run, run.phases[0], world_size=1, on_gpu=False)
    promised = found.total - (found.weights + found.optimizer)  # no checkpoint is written here
    arguments = [sys.executable, "-c", STEPS_AND_PEAK, kind, preset, str(rows), str(length)]
    found = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert promised == pytest.approx(int(found.stdout), rel=0.25)


def test_state_is_sixteen_bytes_a_parameter_and_the_sum_is_the_sum():
    run = run_of("bert")
    found = estimate(run, run.phases[0], world_size=2, on_gpu=True)
    assert found.weights + found.gradients + found.optimizer == 16 * found.parameters
    assert found.total == 16 * found.parameters + found.activations + found.other


def test_row_092_what_is_shared_is_known_to_the_plan():
    def of(strategy, world):
        run = run_of("bert", parallel={"strategy": strategy})
        return estimate(run, run.phases[0], world_size=world, on_gpu=True)

    plain, alone = of("ddp", 4), of("fsdp", 1)
    assert (alone.weights, alone.optimizer) == (plain.weights, plain.optimizer)
    zero = of("zero1", 4)
    assert zero.weights == zero.gradients == plain.weights
    assert zero.optimizer == plain.optimizer // 4
    sharded = of("fsdp", 4)
    assert (sharded.weights, sharded.optimizer) == (plain.weights // 4, plain.optimizer // 4)
    assert plain.other < sharded.other < plain.other + plain.weights
    assert sharded.total < zero.total < plain.total


def test_more_processes_need_less_each_until_micro_batches_are_used_up():
    run = run_of("bert", phases=[{"name": "a", "steps": 1, "globalBatchSize": 16}])
    sizes = [
        estimate(run, run.phases[0], world_size=world, on_gpu=False).activations
        for world in (1, 2, 4, 16, 32)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == sizes[-2]


def test_dropout_of_attention_costs_nothing_where_it_is_fused():
    run = run_of("bert")
    calm = run_of("bert", model={"type": "bert", "config": {"attentionDropout": 0}})
    phase = run.phases[0]
    for on_gpu, equal in ((True, True), (False, False)):
        ours = estimate(run, phase, world_size=1, on_gpu=on_gpu).activations
        theirs = estimate(calm, phase, world_size=1, on_gpu=on_gpu).activations
        assert (ours == theirs) is equal
