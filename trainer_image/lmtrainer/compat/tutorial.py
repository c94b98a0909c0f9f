"""The tutorial around run_language_modeling.py of transformers 3.0.2: BERT on one node with several
GPUs, and training on from a saved model."""

from __future__ import annotations

from typing import Any

from lmtrainer.compat.command import Command, Request
from lmtrainer.compat.flags import Said, Values, ignored, renamed, table
from lmtrainer.compat.modelblock import MODEL_FLAGS, Model, read_length, read_model, read_tokenizer
from lmtrainer.compat.trainer_flags import TRAINER
from lmtrainer.compat.training import phase, run_document, run_step, stages
from lmtrainer.compat.translation import Step

KIT = "tutorial"
LONGEST = 1024
"""Blocks that nobody gave a length, of a model that is not here to say its own."""

FLAGS = table(
    TRAINER,
    MODEL_FLAGS,
    (
        renamed("train_data_file", "text", "data.train"),
        renamed("eval_data_file", "text", "data.validation.files"),
        renamed("block_size", "int", "phases[0].sequenceLength", -1),
        renamed("line_by_line", "switch", "data.sequences lines", False),
        renamed("mlm", "switch", "objective mlm", False),
        renamed("mlm_probability", "float", "masking.share", 0.15),
        renamed("overwrite_cache", "switch", "data.rebuild", False),
        *ignored("only for permutation models", "plm_probability", "max_span_length"),
    ),
)


def translate(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Train on blocks of whole text, or on lines."""
    model = read_model(values, said, request.files)
    _objective(values, model, said)
    length = read_length("block_size", values["block_size"], model, said, most=LONGEST)
    if not values["train_data_file"]:
        said.wrong("train_data_file", None, "required", "name the text to train on")
    run = run_document(
        values,
        said,
        data=_data(values, said),
        tokenizer=read_tokenizer(values, said, request.files),
        model=dict(model.block),
        objective=model.objective,
        masking={"share": values["mlm_probability"]},
        phases=[phase(values, said, length=length, world=request.group.world_size)],
    )
    if model.objective == "clm":
        del run["masking"]
    if values["do_train"] and values["eval_data_file"] and not values["do_eval"]:
        text = "not given, but --eval_data_file is: evaluated"
        said.note("do_eval", "made right", text)
    return (run_step(values, run, stages(values, said, measured=True)),)


def _objective(values: Values, model: Model, said: Said) -> None:
    if model.objective == "clm" and values["mlm"]:
        rule = f"{model.family} predicts the next token and knows no masks"
        said.wrong("mlm", None, rule, "remove it, or train bert")
    if model.objective == "mlm" and not values["mlm"]:
        text = f"not given, but {model.family} reads both ways: it is trained on masks anyway"
        said.note("mlm", "made right", text)


def _data(values: Values, said: Said) -> dict[str, Any]:
    held_out = values["eval_data_file"]
    data: dict[str, Any] = {
        "train": [values["train_data_file"] or ""],
        "sequences": "lines" if values["line_by_line"] else "blocks",
        "documents": "line" if values["line_by_line"] else "file",
    }
    if held_out:
        return data | {"validation": {"files": [held_out]}}
    text = "not given: 5 % of the training text is held out"
    said.note("eval_data_file", "made right", text)
    return data


COMMANDS = (
    Command(
        kit=KIT,
        script="run_language_modeling.py",
        flags=FLAGS,
        translate=translate,
        help="train BERT or GPT-2 on text files",
    ),
)
