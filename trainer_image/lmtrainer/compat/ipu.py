"""The kit for Graphcore's IPUs: run_pretraining.py, run_mlm.py, run_clm.py, prepare_dataset.py.

Its hardware is resolved by `hardware`: how many replicas a system holds decides the batch, as it
did there. A run here has the same global batch on whatever processes it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmtrainer.compat import ipu_flags
from lmtrainer.compat.command import Command, Request
from lmtrainer.compat.datasets import Dataset, dataset_of
from lmtrainer.compat.documents import Files
from lmtrainer.compat.flags import Said, Values
from lmtrainer.compat.ipu_system import kernels, numbers, optimizer, read_hardware
from lmtrainer.compat.modelblock import Model, read_length, read_model, read_tokenizer
from lmtrainer.compat.models import location_of
from lmtrainer.compat.training import phase, run_document, run_step, stages
from lmtrainer.compat.translation import CompileStep, RunStep, Step

KIT = "ipu"
LONGEST = 1024
FINAL_RATE = 1e-7
"""Where groupbert_schedule ends."""


def run_mlm(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Masked words of grouped text, or of lines."""
    length = values["max_seq_length"]
    sequences = "lines" if values["line_by_line"] else "groups"
    model = _of("mlm", values, said, request)
    if values["config_overrides"] and (values["config_name"] or values["model_name_or_path"]):
        rule = "is for a model from scratch that --model_type names"
        said.wrong("config_overrides", values["config_overrides"], rule, "remove it")
    data = _text(values, said, request.files) | {"sequences": sequences, "documents": "line"}
    masking = {"share": values["mlm_probability"]}
    length = read_length("max_seq_length", length, model, said, most=LONGEST)
    return _run(values, said, request, model, data=data, length=length, masking=masking)


def run_clm(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """The next word of grouped text."""
    model = _of("clm", values, said, request)
    data = _text(values, said, request.files) | {"sequences": "groups", "documents": "line"}
    data["keepLineBreaks"] = values["keep_linebreaks"] and not values["no_keep_linebreaks"]
    length = read_length("block_size", values["block_size"], model, said, most=LONGEST)
    return _run(values, said, request, model, data=data, length=length)


def run_pretraining(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Masked words and pairs of sentences, of ready-made instances or of documents."""
    model = read_model(values, said, request.files)
    data = _pretraining_data(values, said, request.files)
    length = read_length("max_seq_length", values["max_seq_length"], model, said, most=LONGEST)
    masking: dict[str, Any] = {"share": values["mlm_probability"]}
    if values["is_already_preprocessed"] and not values["is_already_masked"]:
        text = "not given: the masks of the instances are kept, none are drawn on top"
        said.note("is_already_masked", "made right", text)
    if not values["is_already_preprocessed"]:
        masking["maxPredictions"] = "auto"
    return _run(values, said, request, model, data=data, length=length, masking=masking, pairs=True)


def _of(objective: str, values: Values, said: Said, request: Request) -> Model:
    """The model of a script that trains one objective."""
    model = read_model(values, said, request.files)
    if model.objective != objective:
        both = f"{model.family} reads both ways and predicts no next token"
        next_only = f"{model.family} predicts the next token and knows no masks"
        rule = both if objective == "clm" else next_only
        named = "model_name_or_path" if values["model_name_or_path"] else "config_name"
        said.wrong(named, values[named], rule, f"use run_{model.objective}.py")
    return model


def _run(
    values: Values,
    said: Said,
    request: Request,
    model: Model,
    *,
    pairs: bool = False,
    length: int,
    **parts: Any,
) -> tuple[Step, ...]:
    found = read_hardware(values, said, request.files, model)
    factor = found.replicas * found.device_iterations
    one = phase(values, said, length=length, world=request.group.world_size, factor=factor)
    if values["groupbert_schedule"]:
        one |= {"warmupShape": "sqrt", "schedule": "linear", "finalLearningRate": FINAL_RATE}
    run = run_document(
        values,
        said,
        tokenizer=read_tokenizer(values, said, request.files),
        model=dict(model.block),
        objective="mlm+nsp" if pairs else model.objective,
        phases=[one],
        **parts,
    )
    run |= numbers(values, said, found)
    run["optimizer"] = optimizer(values)
    if values["compile_only"]:
        to = kernels(values, said, found)
        return run_step(values, run, ("prepare",)), CompileStep(run=run, to=to)
    return (run_step(values, run, stages(values, said, measured=values["do_eval"])),)


def _text(values: Values, said: Said, files: Files) -> dict[str, Any]:
    """Text of a dataset by name, or of files; held out: files, else the first per cent."""
    name = values["dataset_name"] or values.get("dataset_path")
    train = values["train_file"]
    if (name is None) == (train is None):
        rule = "give either --dataset_name or --train_file"
        said.wrong("dataset_name", name, rule)
    part = values["dataset_config_name"] or values.get("data_dir")
    found = Dataset((train,), ()) if train else dataset_of(name or "", part, files)
    data: dict[str, Any] = {"train": list(found.train)}
    data["validation"] = _held_out(values, found.validation)
    if values["max_train_samples"] is not None:
        data["maxSequences"] = values["max_train_samples"]
    return data


def _held_out(values: Values, known: Sequence[str]) -> dict[str, Any]:
    named = [values["validation_file"]] if values["validation_file"] else list(known)
    share = values["validation_split_percentage"] / 100
    found: dict[str, Any] = {"files": named} if named else {"share": share}
    if values["max_eval_samples"] is not None:
        found["maxSequences"] = values["max_eval_samples"]
    return found


def _pretraining_data(values: Values, said: Said, files: Files) -> dict[str, Any]:
    data = _text(values, said, files)
    if values["is_already_masked"] and not values["is_already_preprocessed"]:
        rule = "is of data that is preprocessed"
        said.wrong("is_already_masked", "true", rule, "give --is_already_preprocessed, too")
    if values["is_already_preprocessed"]:
        return data | {"sequences": "instances"}
    said.note("is_already_preprocessed", "made right", "not given: pairs are made of the documents")
    return data


def prepare_dataset(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Make the dataset of pairs from text, without training."""
    source = values["data_dir"] or values["dataset_name"]
    if source is None:
        said.wrong("data_dir", None, "neither --data_dir nor --dataset_name is given", "give one")
    files: list[str] = [location_of(source or "", request.files)]
    limit = values["max_number_of_files"]
    if limit is not None and source is not None:
        files = [f"{source}/{name}" for name in request.files.names(source)[:limit]] or files
    cache = values["output_dataset_name"]
    run: Mapping[str, Any] = {
        "precision": "fp32",
        "data": {"train": files, "cache": cache},
        "tokenizer": {"from": location_of(values["tokenizer_name"], request.files)},
        "model": {"type": "bert"},
        "objective": "mlm+nsp",
        "phases": [{"name": "main", "steps": 1}],
        "output": {"to": f"{cache.rstrip('/')}/run"},
    }
    return (RunStep(run=run, stages=("prepare",), results=cache),)


COMMANDS = (
    Command(
        kit=KIT,
        script="run_pretraining.py",
        flags=ipu_flags.RUN_PRETRAINING,
        translate=run_pretraining,
        help="train on masked words and pairs of sentences",
    ),
    Command(
        kit=KIT,
        script="run_mlm.py",
        flags=ipu_flags.RUN_MLM,
        translate=run_mlm,
        help="train on masked words",
    ),
    Command(
        kit=KIT,
        script="run_clm.py",
        flags=ipu_flags.RUN_CLM,
        translate=run_clm,
        help="train on the next word",
    ),
    Command(
        kit=KIT,
        script="prepare_dataset.py",
        flags=ipu_flags.PREPARE_DATASET,
        translate=prepare_dataset,
        help="make a dataset of pairs",
    ),
)
