"""Files that are not there, and command lines of words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lmtrainer.compat import RunStep, Translation, translate
from lmtrainer.config import MistakesError, RunConfig, parse
from tests.lmtrainer.compat.lines import words_of

BERT = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "type_vocab_size": 2,
    "vocab_size": 30522,
}


@dataclass
class Drawer:
    """Texts by path; folders are what lies above them."""

    texts: Mapping[str, str] = field(default_factory=dict)

    def read(self, path: str) -> str | None:
        return self.texts.get(path)

    def is_folder(self, path: str) -> bool:
        return any(name.startswith(path.rstrip("/") + "/") for name in self.texts)

    def names(self, folder: str) -> tuple[str, ...]:
        inside = (n.removeprefix(folder.rstrip("/") + "/") for n in self.texts)
        found = {n.split("/")[0] for n in inside if f"{folder.rstrip('/')}/{n}" in self.texts}
        return tuple(sorted(found))


FILES = Drawer(
    {
        "/output/bert/tokens/config.json": json.dumps(BERT),
        "/output/bert/base/config.json": json.dumps(BERT),
        "config.yaml": "model: {tokenizer_model: tokens, train_file: a.txt, valid_file: b.txt}\n"
        "trainer: {max_epochs: 2, deterministic: true, precision: 16}\n",
        "lightning_logs/version_0/config.yaml": "model: {tokenizer_model: tokens, "
        "train_file: a.txt, valid_file: b.txt, test_file: c.txt}\n",
    }
)


def taken(text: str, files: Drawer = FILES, **environment: str) -> Translation:
    """What a command line, as it is typed, means."""
    return translate(words_of(text), environment, files)


def run_of(translation: Translation) -> RunConfig:
    """The configuration of its only run."""
    (step,) = translation.steps
    assert isinstance(step, RunStep)
    return parse(RunConfig, step.run)


def told(text: str, files: Drawer = FILES, **environment: str) -> list[str]:
    """The mistakes that a command line is refused for."""
    try:
        taken(text, files, **environment)
    except MistakesError as fault:
        return [str(mistake) for mistake in fault.mistakes]
    return []


def note(translation: Translation, flag: str) -> str:
    """What is said of a flag."""
    (found,) = [str(note) for note in translation.notes if note.flag == flag]
    return found


def changed(plain: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {**plain, **more}
