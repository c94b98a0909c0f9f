"""Steps that make or write down a tokenizer and no model. Called by `steps`.

Files are put beside what lies in a folder already: an earlier kit's user keeps a config.json there.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lmtrainer import vocab
from lmtrainer.commands.replay.results import place
from lmtrainer.compat.translation import TokenizerStep, VocabularyStep
from lmtrainer.config import fingerprint, parse
from lmtrainer.config.resolution import TOKENIZER_DEFAULTS, resolve_tokenizer
from lmtrainer.config.tokenizer import TokenizerConfig, TokenizerTraining
from lmtrainer.durable import MANIFEST_FILE, make_folder, replace
from lmtrainer.faults import UserError
from lmtrainer.text.records import Reading, records
from lmtrainer.text.sources import expand
from lmtrainer.text.sources import folder as folder_of
from lmtrainer.vocab.folder import read
from lmtrainer.vocab.listing import lines
from lmtrainer.vocab.unigram import MODEL_FILE

LONGEST = 512
"""Of a sequence, as the tokenizer's folder tells it: a model may say otherwise later."""

_FAMILY = next(iter(TOKENIZER_DEFAULTS))
"""Whose defaults fill what a command line leaves out; every step names its own type and tokens."""


def carry_out(step: TokenizerStep | VocabularyStep) -> None:
    """Train and write, or write; UserError for what cannot be."""
    if isinstance(step, VocabularyStep):
        write_vocabulary(folder_of(step.tokenizer, {}, "tokenizer"), Path(step.file))
    else:
        train(step)


def train(step: TokenizerStep) -> None:
    """Train on every line of the step's files."""
    target = Path(step.to)
    folder = target.with_suffix("") if step.form == "json" else target
    if target.is_file() and not step.overwrite:
        raise UserError(f"{target}: is there already; give --overwrite_output_file")
    settings = _settings(step)
    paths = expand(step.files, {}, "text")

    def texts(activity: str) -> Iterator[str]:
        print(f"{activity}: {len(paths)} files", flush=True)
        for path in paths:
            yield from (piece.text for piece in records(path, Reading("line")))

    make_folder(folder.absolute())
    with tempfile.TemporaryDirectory(prefix=".training-", dir=folder) as beside:
        made = Path(beside, "tokenizer")
        mark = fingerprint(dataclasses.asdict(settings))
        vocab.make(settings, texts, made, max_length=LONGEST, fingerprint=mark)
        for path in sorted(made.iterdir()):
            if path.name != MANIFEST_FILE:
                place(path, folder / path.name)
    _write_forms(step, folder)


def _settings(step: TokenizerStep) -> TokenizerTraining:
    asked = TokenizerConfig(train=parse(TokenizerTraining, dict(step.training)))
    found = resolve_tokenizer(asked, _FAMILY).train
    assert found is not None
    return found


def _write_forms(step: TokenizerStep, folder: Path) -> None:
    """What the earlier kit wrote besides: JSON of token and id, or SentencePiece's own files."""
    ids = read(folder).get_vocab(with_added_tokens=True)
    ordered = dict(sorted(ids.items(), key=lambda item: item[1]))
    if step.form == "json":
        text = json.dumps(ordered, ensure_ascii=False, indent=1)
        replace(Path(step.to), f"{text}\n")
    if step.form == "sentencepiece" and step.beside is not None:
        _write_sentencepiece(folder / MODEL_FILE, Path(step.beside))
    print(f"{len(ordered)} tokens -> {step.to}", flush=True)


def _write_sentencepiece(model: Path, folder: Path) -> None:
    """sp.model, and sp.vocab with a piece and its score a line."""
    import sentencepiece

    make_folder(folder.absolute())
    place(model, folder / MODEL_FILE)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    rows = (
        f"{pieces.id_to_piece(id_)}\t{pieces.get_score(id_):g}\n"
        for id_ in range(pieces.get_piece_size())
    )
    replace((folder / MODEL_FILE).with_suffix(".vocab"), "".join(rows))


def write_vocabulary(folder: Path, file: Path) -> None:
    """Write line k as the token with id k; UserError if there is no tokenizer."""
    listed = list(lines(folder))
    make_folder(file.absolute().parent)
    replace(file, "".join(f"{line}\n" for line in listed))
    print(f"{len(listed)} tokens -> {file}", flush=True)
