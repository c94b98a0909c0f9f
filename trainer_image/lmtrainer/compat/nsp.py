"""The kit with ready-made pairs of sentences: create_vocab.py, create_pretraining_data.py and
run_bert.py."""

from __future__ import annotations

from typing import Any

from lmtrainer.compat.command import Command, Request
from lmtrainer.compat.flags import Flag, Said, Values, ignored, renamed, table
from lmtrainer.compat.modelblock import MODEL_FLAGS, read_model, read_tokenizer
from lmtrainer.compat.models import location_of
from lmtrainer.compat.trainer_flags import TRAINER
from lmtrainer.compat.training import phase, run_document, run_step, stages
from lmtrainer.compat.translation import InstancesStep, Step, VocabularyStep
from lmtrainer.contract.arguments import Stage

KIT = "nsp"
LONGEST = 512
"""Instances are as long as they were made; no model of the kit reads more."""

CREATE_VOCAB = table(
    (
        Flag(name="model_name_or_path", kind="text", required=True, text="a folder's tokenizer"),
        Flag(name="vocab_file", kind="text", required=True, text="one token a line"),
        *ignored("nothing is fetched", "cache_dir"),
    )
)


def create_vocab(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Write the tokens of a tokenizer to a file."""
    place = location_of(values["model_name_or_path"], request.files)
    return (VocabularyStep(tokenizer=place, file=values["vocab_file"]),)


CREATE_DATA = table(
    (
        Flag(name="input_file", kind="text", required=True, text="documents"),
        Flag(name="output_file", kind="text", required=True, text="JSON lines"),
        Flag(name="vocab_file", kind="text", required=True, text="the tokenizer"),
        renamed("do_lower_case", "switch", "the tokenizer lower-cases", True),
        renamed("do_whole_word_mask", "switch", "masking.wholeWords", False),
        renamed("max_seq_length", "int", "the longest pair", 128),
        renamed("max_predictions_per_seq", "int", "masking.maxPredictions", 20),
        renamed("random_seed", "int", "seed", 12345),
        renamed("dupe_factor", "int", "pairs.passes", 10),
        renamed("masked_lm_prob", "float", "masking.share", 0.15),
        renamed("short_seq_prob", "float", "pairs.shortShare", 0.1),
    )
)


def create_pretraining_data(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Make pairs of sentences with fixed masks, as google-research/bert does."""
    names = ("input_file", "output_file")
    inputs, outputs = (tuple(values[name].split(",")) for name in names)
    near = values["masked_lm_prob"] * values["max_seq_length"]
    if values["max_predictions_per_seq"] < near:
        text = f"masking.maxPredictions {values['max_predictions_per_seq']}: fewer than {near:g}"
        said.note("max_predictions_per_seq", "renamed", text)
    options = {
        "lowercase": values["do_lower_case"],
        "wholeWords": values["do_whole_word_mask"],
        "sequenceLength": values["max_seq_length"],
        "maxPredictions": values["max_predictions_per_seq"],
        "seed": values["random_seed"],
        "passes": values["dupe_factor"],
        "share": values["masked_lm_prob"],
        "shortShare": values["short_seq_prob"],
    }
    return (
        InstancesStep(files=inputs, to=outputs, vocabulary=values["vocab_file"], options=options),
    )


RUN_BERT = table(
    TRAINER,
    MODEL_FLAGS,
    (
        renamed("train_file", "list", "data.train"),
        renamed("validation_file", "text", "data.validation.files"),
        renamed("datasets_cache_dir", "text", "data.cache"),
        renamed("overwrite_cache", "switch", "data.rebuild", False),
        renamed("max_train_samples", "int", "data.maxSequences"),
        renamed("max_val_samples", "int", "data.validation.maxSequences"),
        renamed("eval_only_mlm", "switch", "objective mlm", False),
        *ignored("rows are packed, not padded", "pad_to_max_length", kind="switch"),
    ),
)


def run_bert(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Train on ready-made pairs, or measure a model on them."""
    model = read_model(values, said, request.files, "bert")
    if model.family != "bert":
        said.wrong("model_name_or_path", model.family, "pairs of sentences are for bert")
    wanted = _stages(values, said)
    if values["model_name_or_path"] and values["do_train"]:
        text = "model.from: weights only, training begins at step 0 and runs all its steps"
        said.note("model_name_or_path", "made right", text)
    length = min(model.positions or LONGEST, LONGEST)
    one = phase(values, said, length=length, world=request.group.world_size)
    measured = None
    if "train" not in wanted and values["model_name_or_path"]:
        measured = location_of(values["model_name_or_path"], request.files)
    run = run_document(
        values,
        said,
        data=_data(values, said),
        tokenizer=read_tokenizer(values, said, request.files),
        model=dict(model.block),
        objective="mlm" if values["eval_only_mlm"] else "mlm+nsp",
        phases=[one],
    )
    return (run_step(values, run, wanted, model=measured),)


def _stages(values: Values, said: Said) -> tuple[Stage, ...]:
    train, measure = values["do_train"], values["do_eval"]
    if values["eval_only_mlm"] and train:
        rule, way_out = "is for an evaluation alone", "set --do_train=False"
        said.wrong("eval_only_mlm", "true", rule, way_out)
    if train and not values["train_file"]:
        said.wrong("train_file", None, "required", "name the instances to train on")
    if measure and not values["validation_file"]:
        said.wrong("validation_file", None, "required", "name the instances to measure on")
    return stages(values, said, measured=measure)


def _data(values: Values, said: Said) -> dict[str, Any]:
    held_out = values["validation_file"]
    train = list(values["train_file"] or [held_out or ""])
    data: dict[str, Any] = {"train": train, "sequences": "instances"}
    if held_out:
        data["validation"] = {"files": [held_out]}
    cache = values["datasets_cache_dir"]
    if cache not in (None, "None"):
        data["cache"] = cache
    if values["max_train_samples"] is not None:
        data["maxSequences"] = values["max_train_samples"]
    if values["max_val_samples"] is not None:
        data.setdefault("validation", {"share": 0.05})["maxSequences"] = values["max_val_samples"]
    return data


COMMANDS = (
    Command(
        kit=KIT,
        script="create_vocab.py",
        flags=CREATE_VOCAB,
        translate=create_vocab,
        help="write the tokens of a tokenizer to a file",
    ),
    Command(
        kit=KIT,
        script="create_pretraining_data.py",
        flags=CREATE_DATA,
        translate=create_pretraining_data,
        help="make pairs of sentences with masks",
    ),
    Command(
        kit=KIT,
        script="run_bert.py",
        flags=RUN_BERT,
        translate=run_bert,
        help="train BERT on ready-made pairs",
    ),
)
