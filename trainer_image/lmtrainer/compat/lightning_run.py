"""The settings of the Lightning-style trainer as a configuration. Called by `lightning`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lmtrainer.compat.command import Request
from lmtrainer.compat.documents import Files
from lmtrainer.compat.flags import Said, Values
from lmtrainer.compat.lightning_callbacks import read_callbacks
from lmtrainer.compat.models import changes, location_of, saved_config
from lmtrainer.compat.training import PHASE, run_folder
from lmtrainer.compat.translation import Group
from lmtrainer.config.mistakes import show

EPOCHS = 1000
"""Of a run that names neither steps nor epochs."""


def run_document(values: Values, said: Said, request: Request, root: str) -> dict[str, Any]:
    said.group = _group(values, said, request.group)
    for name in ("tokenizer_model", "train_file"):
        if not values[f"model.{name}"]:
            said.wrong(f"model.{name}", None, "required", "set it in the configuration file")
    evaluate, notes = read_callbacks(values, said)
    said.more += notes
    run: dict[str, Any] = {
        "seed": values["seed_everything"] if values["seed_everything"] is not None else 42,
        "precision": _precision(values, said),
        "data": {"train": [values["model.train_file"] or ""], "sequences": "stream"},
        "tokenizer": {"from": location_of(values["model.tokenizer_model"] or "", request.files)},
        "model": _model(values, said, request.files),
        "objective": "clm",
        "optimizer": {"type": "adam", "clipNorm": values["trainer.gradient_clip_val"]},
        "phases": [_phase(values, said, said.group.world_size)],
        "output": {"to": run_folder(root)},
    }
    return run | ({"evaluate": evaluate} if evaluate else {})


def _group(values: Values, said: Said, group: Group) -> Group:
    """Lightning starts its own ranks: gpus of each node, or processes."""
    gpus = values["trainer.gpus"]
    if isinstance(gpus, str) and gpus.isdigit():
        gpus = int(gpus)
    ranks = len(gpus) if isinstance(gpus, list) else (gpus or values["trainer.num_processes"])
    if not isinstance(ranks, int) or ranks < 1:
        said.wrong("trainer.gpus", gpus, "must be a number of GPUs, or a list of them")
        ranks = 1
    nodes = values["trainer.num_nodes"]
    if nodes > 1 and group.nodes != nodes:
        rule = f"is {nodes}, but this command line starts one node"
        way_out = "put torchrun --nnodes --node_rank --master_addr in front"
        said.wrong("trainer.num_nodes", nodes, rule, way_out)
    return dataclasses.replace(group, processes=max(ranks, group.processes))


def _precision(values: Values, said: Said) -> str:
    bits = values["trainer.precision"]
    if bits not in (16, 32):
        said.wrong("trainer.precision", bits, "must be 16 or 32")
    return "fp16" if bits == 16 else "fp32"


def _model(values: Values, said: Said, files: Files) -> dict[str, Any]:
    """Sizes for a model from scratch; a saved one has its own, and the others must not differ."""
    sizes = {
        "hiddenSize": values["model.n_embd"],
        "layers": values["model.n_layer"],
        "heads": values["model.n_head"],
        "maxPositions": values["model.block_size"],
    }
    place = values["model.from_pretrained"]
    if place is None:
        return {"type": "gpt2", "config": sizes}
    saved = saved_config(place, files)
    held = changes("gpt2", saved, place)[0] if saved else {}
    names = {"n_embd": "hiddenSize", "n_layer": "layers", "n_head": "heads"}
    for name, field in names.items():
        _compare(f"model.{name}", held.get(field), values, said)
    return {"type": "gpt2", "from": location_of(place, files), "resizeEmbeddings": True}


def _compare(flag: str, held: object, values: Values, said: Said) -> None:
    """A size of a saved model against a setting: one that was chosen must be the saved one."""
    wanted = values[flag]
    if wanted == values.flags[flag].default or (held is None and not values.has(flag)):
        if held not in (None, wanted):
            said.note(flag, "made right", f"the saved model has {held}, which counts")
    elif held != wanted:
        rule = f"conflicts with model.from_pretrained, whose model has {show(held)}"
        said.wrong(flag, wanted, rule, "a saved model keeps its sizes: remove one of the two")


def _phase(values: Values, said: Said, world: int) -> dict[str, Any]:
    micro = values["model.batch_size"]
    first, later = _accumulation(values["trainer.accumulate_grad_batches"], said)
    total = values["model.num_training_steps"]
    found: dict[str, Any] = {
        "name": PHASE,
        "sequenceLength": values["model.block_size"],
        "globalBatchSize": micro * first * world,
        "microBatchSize": micro,
        "learningRate": values["model.lr"],
        "warmupSteps": values["model.num_warmup_steps"],
        "schedule": "linear" if total else "constant",
    }
    if later:
        found["batchSchedule"] = [
            {"epoch": epoch, "globalBatchSize": micro * k * world} for epoch, k in later
        ]
    return found | _duration(values, said, total)


def _duration(values: Values, said: Said, total: int | None) -> dict[str, Any]:
    """As long as max_steps or max_epochs say; the schedule ends with the phase."""
    steps, epochs = values["trainer.max_steps"], values["trainer.max_epochs"]
    if total and total != steps:
        text = "linear to the end of the phase, whatever number stands here"
        said.note("model.num_training_steps", "made right", text)
    if steps:
        if epochs:
            said.note("trainer.max_epochs", "ignored", "trainer.max_steps counts")
        return {"steps": steps}
    if not epochs:
        said.note("trainer.max_epochs", "made right", f"not given: {EPOCHS}, as Lightning has it")
    return {"epochs": epochs or EPOCHS}


def _accumulation(raw: Any, said: Said) -> tuple[int, list[tuple[int, int]]]:
    """Batches of a step in epoch 0, and those from later epochs on."""
    plain = {0: raw} if not isinstance(raw, Mapping) else dict(raw)
    try:
        pairs = sorted((int(epoch), int(count)) for epoch, count in plain.items())
    except (TypeError, ValueError):
        pairs = []
    if not pairs or pairs[0][0] < 0 or min(count for _, count in pairs) < 1:
        flag = "trainer.accumulate_grad_batches"
        said.wrong(flag, raw, "must be a number >= 1, or {epoch: number}")
        return 1, []
    first = pairs[0][1] if pairs[0][0] == 0 else 1
    return first, [pair for pair in pairs if pair[0] > 0]
