"""A folder in which the literal command lines of the earlier kits run: tiny texts, tokenizers and
models under the names that they use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from transformers import AutoModelForMaskedLM, AutoTokenizer

from tests.lmtrainer.compat.fakes import BERT
from tests.lmtrainer.compat.lines import words_of
from tests.runs import jargon

SHORT = ("--max_steps", "2", "--save_steps", "1", "--warmup_steps", "1")
"""A run of two steps."""
SMALL = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
TINY_BERT = {**BERT, **SMALL, "num_hidden_layers": 1, "vocab_size": 400}
TINY_GPT2 = {
    "model_type": "gpt2",
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 64,
    "activation_function": "gelu_new",
}


class Place:
    """A folder to type command lines in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents = jargon(60)
        self.held_out = jargon(15, first=100)

    def write(self, path: str, text: str) -> Path:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def text(self, train: str, held_out: str) -> None:
        self.write(train, self.documents)
        self.write(held_out, self.held_out)

    def wordpiece(self, folder: str) -> None:
        """vocab.txt of BERT's tokenizer, as the tutorial makes it."""
        from tokenizers import BertWordPieceTokenizer

        made = BertWordPieceTokenizer()
        text = [str(self.write("wordpiece.txt", self.documents))]
        made.train(text, vocab_size=400, show_progress=False)
        (self.folder / folder).mkdir(parents=True, exist_ok=True)
        made.save_model(str(self.folder / folder))

    def config(self, folder: str, plain: dict[str, Any]) -> None:
        self.write(f"{folder}/config.json", json.dumps(plain))

    def model(self, folder: str, kind: str, special: str) -> None:
        """A saved model with random weights, and its tokenizer."""
        import dataclasses

        from lmtrainer import vocab
        from lmtrainer.config.architecture import Architecture
        from lmtrainer.config.tokenizer import TokenizerTraining
        from lmtrainer.models import build

        target = self.folder / folder
        settings = TokenizerTraining(
            type="wordpiece" if special == "bert" else "bytebpe",
            vocab_size=400,
            special_tokens=special,  # type: ignore[arg-type]
            min_frequency=2,
        )
        texts = [self.documents]
        vocab.make(settings, lambda _: iter(texts), target, max_length=64, fingerprint="f" * 64)
        sizes = Architecture(
            layers=1, hidden_size=16, heads=2, intermediate_size=32, max_positions=64
        )
        words = dataclasses.replace(vocab.load(target))
        build.build(kind, sizes, words, seed=0).save_pretrained(target)  # type: ignore[arg-type]

    def run(self, text: str, *more: str, code: int = 0, **environment: str) -> str:
        """What `lmtrainer compat` prints when it is given a command line, and further words."""
        done = self.start(text, *more, **environment)
        out, _ = done.communicate(timeout=280)
        assert done.returncode == code, out
        return out

    def start(self, text: str, *more: str, **environment: str) -> subprocess.Popen[str]:
        words = [self.moved(word) for word in words_of(text)]
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "lmtrainer", "compat", *words, *more],
            cwd=self.folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def moved(self, word: str) -> str:
        """Folders at the root of the machine lie in this one."""
        for root in ("/output", "/dataset", "/tmp/"):
            if word.startswith(root):
                return str(self.folder) + word
        return word

    def json(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text())

    def yaml(self, path: str, **changes: Any) -> None:
        plain = yaml.safe_load((self.folder / path).read_text()) if changes.pop("old", 0) else {}
        self.write(path, yaml.safe_dump({**plain, **changes}))

    def copy(self, source: str, target: str) -> None:
        shutil.copytree(self.folder / source, self.folder / target)


def loads(folder: Path, kind: Any = AutoModelForMaskedLM) -> Any:
    """The model of a folder as its user loads it, with the tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = kind.from_pretrained(folder, local_files_only=True)
    assert model.config.vocab_size >= len(tokenizer)
    return model


def wikitext(place: Place) -> None:
    folder = "wikitext/wikitext-2-raw-v1"
    place.text(f"{folder}/train.txt", f"{folder}/validation.txt")
