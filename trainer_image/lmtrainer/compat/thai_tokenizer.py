"""train_tokenizer.py of the Thai kit: a vocabulary of words, as a segmenter cuts them. Called by
`thai`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmtrainer.compat.command import Request
from lmtrainer.compat.flags import Flag, Said, Values, choice, ignored, renamed, table
from lmtrainer.compat.translation import Step, TokenizerStep

SEGMENTERS: Mapping[str, str] = {
    "newmm": "newmm",
    "syllable": "syllable",
    "fake_sefr_cut": "presplit",
}

TRAIN_TOKENIZER = table(
    (
        Flag(name="train_dir", kind="text", required=True, text="text"),
        renamed("ext", "text", "the ending of the files", ".txt"),
        renamed("pre_tokenizer_type", "text", "tokenizer.train.segmenter", "newmm"),
        Flag(name="output_file", kind="text", required=True, text="JSON of token and id"),
        renamed("vocab_min_freq", "int", "tokenizer.train.minFrequency"),
        renamed("vocab_size", "int", "tokenizer.train.vocabSize"),
        renamed("overwrite_output_file", "switch", "the file may be there already", False),
        *ignored("progress is told anyway", "debug", kind="switch"),
    )
)


def text_files(folder: str, ending: str) -> str:
    """The pattern of --train_dir and --ext."""
    return f"{folder.rstrip('/')}/*.{ending.lstrip('.')}"


def train_tokenizer(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Count words and keep the frequent ones."""
    size, frequency = values["vocab_size"], values["vocab_min_freq"]
    if size is not None and frequency is not None:
        rule = "--vocab_size and --vocab_min_freq are both given"
        said.wrong("vocab_size", size, rule, "give one")
    if size is None and frequency is None:
        said.wrong("vocab_min_freq", None, "required", "give it or --vocab_size")
    training: dict[str, Any] = {
        "type": "wordlevel",
        "segmenter": choice("pre_tokenizer_type", SEGMENTERS, values, said),
        "specialTokens": "roberta",
        "spaceToken": True,
        "newlineToken": True,
    }
    training |= {"vocabSize": size} if size is not None else {"minFrequency": frequency}
    return (
        TokenizerStep(
            training=training,
            files=(text_files(values["train_dir"], values["ext"]),),
            to=values["output_file"],
            form="json",
            overwrite=values["overwrite_output_file"],
        ),
    )
