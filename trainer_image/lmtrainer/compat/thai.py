"""The kit around run_mlm.py for Thai: RoBERTa from scratch on memory-mapped sentences, one or many
nodes, and the trainer of word-level vocabularies."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from lmtrainer.compat import thai_tokenizer
from lmtrainer.compat.command import Command, Request
from lmtrainer.compat.flags import Flag, Said, Values, choice, ignored, renamed, table
from lmtrainer.compat.models import location_of
from lmtrainer.compat.trainer_flags import TRAINER
from lmtrainer.compat.training import phase, run_document, run_step
from lmtrainer.compat.translation import Step
from lmtrainer.contract.arguments import Stage

KIT = "thai"

TOKENIZERS = (
    "ThaiRobertaTokenizer",
    "ThaiWordsNewmmTokenizer",
    "ThaiWordsSyllableTokenizer",
    "FakeSefrCutTokenizer",
)
SEQUENCES: Mapping[str, str] = {
    "MemmapLineByLineTextDataset": "lines",
    "MemmapConcatFullSentenceTextDataset": "sentences",
}
ARCHITECTURES: Mapping[str, str] = {"roberta-base": "base", "roberta-large": "large"}
LENGTH = 512
"""Where --max_seq_length is left out: as long as the model reads."""

RUN_MLM = table(
    TRAINER,
    (
        Flag(name="tokenizer_name_or_path", kind="text", required=True, text="tokenizer.from"),
        Flag(
            name="tokenizer_type",
            kind="text",
            default=TOKENIZERS[0],
            fate="ignored",
            text="the folder of the tokenizer says what it is",
        ),
        renamed("ext", "text", "the ending of data.train", ".txt"),
        Flag(name="train_dir", kind="text", required=True, text="data.train"),
        Flag(name="eval_dir", kind="text", required=True, text="data.validation.files"),
        renamed("max_seq_length", "int", "phases[0].sequenceLength"),
        renamed("datasets_cache_dir", "text", "data.cache"),
        renamed("datasets_type", "text", "data.sequences", "MemmapLineByLineTextDataset"),
        renamed("architecture", "text", "model.preset", "roberta-base"),
        renamed("build_dataset_only", "switch", "stage prepare alone", False),
        renamed("mlm", "switch", "objective mlm", False),
        renamed("mlm_probability", "float", "masking.share", 0.15),
        renamed("model_dir", "text", "model.from"),
        renamed("overwrite_cache", "switch", "data.rebuild", False),
        *ignored(
            "the tokenizer says itself what it does with spaces",
            "add_space_token",
            kind="switch",
        ),
        *ignored("text is read in pieces of its own size", "tokenize_chunksize"),
        *ignored(
            "the script reads it and never uses it",
            "preprocessing_num_workers",
            "line_by_line",
            "pad_to_max_length",
            "model_name_or_path",
            "model_type",
            "config_name",
            "cache_dir",
            "use_fast_tokenizer",
            kind="switch",
        ),
    ),
)


def run_mlm(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Train RoBERTa from scratch; or make the dataset only."""
    only = values["build_dataset_only"]
    stages: tuple[Stage, ...] = ("prepare",) if only else ("prepare", "train", "evaluate")
    if not values["do_train"] and not only:
        said.note("do_train", "made right", "not given, but the script trains anyway")
    if not values["mlm"]:
        text = "not given: masked anyway; without masks RoBERTa learns to copy its input"
        said.note("mlm", "made right", text)
    length = values["max_seq_length"] or LENGTH
    run = run_document(
        values,
        said,
        data=_data(values, said),
        tokenizer={"from": _tokenizer(values, said, request)},
        model=_model(values, said, request),
        objective="mlm",
        masking={"share": values["mlm_probability"]},
        phases=[phase(values, said, length=length, world=request.group.world_size)],
    )
    return (run_step(values, run, stages),)


def _data(values: Values, said: Said) -> dict[str, Any]:
    folders = values["train_dir"], values["eval_dir"]
    train, held_out = (thai_tokenizer.text_files(folder, values["ext"]) for folder in folders)
    text = f"data.train {train}: every file of the folder, not the first one alone"
    said.note("train_dir", "made right", text)
    data: dict[str, Any] = {
        "train": [train],
        "validation": {"files": [held_out]},
        "sequences": choice("datasets_type", SEQUENCES, values, said),
    }
    if data["sequences"] == "sentences":
        text = "data.sequences sentences; one that is too long is split, not dropped"
        said.note("datasets_type", "made right", text)
    if values["datasets_cache_dir"]:
        data["cache"] = values["datasets_cache_dir"]
    return data


def _tokenizer(values: Values, said: Said, request: Request) -> str:
    place: str = values["tokenizer_name_or_path"]
    if values["tokenizer_type"] not in TOKENIZERS:
        said.wrong(
            "tokenizer_type", values["tokenizer_type"], f"must be one of {', '.join(TOKENIZERS)}"
        )
    if place.endswith(".json"):
        # Beside the file, train_tokenizer.py leaves the folder that can be loaded.
        place = posixpath.splitext(place)[0]
        said.note("tokenizer_name_or_path", "made right", f"tokenizer.from {place}")
    return location_of(place, request.files)


def _model(values: Values, said: Said, request: Request) -> dict[str, Any]:
    if values["model_dir"]:
        text = f"model.from {values['model_dir']}: its weights; training begins at step 0"
        said.note("model_dir", "made right", text)
        return {"type": "roberta", "from": location_of(values["model_dir"], request.files)}
    preset = choice("architecture", ARCHITECTURES, values, said)
    return {"type": "roberta", "preset": preset}


COMMANDS = (
    Command(
        kit=KIT,
        script="run_mlm.py",
        flags=RUN_MLM,
        translate=run_mlm,
        help="train RoBERTa on sentences of Thai",
    ),
    Command(
        kit=KIT,
        script="train_tokenizer.py",
        flags=thai_tokenizer.TRAIN_TOKENIZER,
        translate=thai_tokenizer.train_tokenizer,
        help="make a word-level vocabulary",
    ),
)
