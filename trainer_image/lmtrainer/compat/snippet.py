"""The Python snippet of the tutorial that trains WordPiece, read as text and never run:

    tokenizer = BertWordPieceTokenizer()
    tokenizer.train(files, vocab_size=30522)
    tokenizer.save_model(folder)

with imports and assignments of plain values around it. Anything else in the file is refused.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import Any

from lmtrainer.compat.translation import Note, TokenizerStep
from lmtrainer.config.mistakes import Mistake, MistakesError, meant, show

CLASS = "BertWordPieceTokenizer"

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    CLASS: {"lowercase": "lowercase"},
    "train": {"vocab_size": "vocabSize", "min_frequency": "minFrequency"},
    "save_model": {},
}
"""Keyword -> field of `tokenizer.train`."""

_ORDER = {"train": ("files", "vocab_size", "min_frequency"), "save_model": ("directory",)}
"""What arguments without a keyword are."""

DEFAULT_SIZE = 30000
"""That of the class."""


def is_snippet(text: str) -> bool:
    """Is this the text of such a program?"""
    return f"{CLASS}(" in text


def read_snippet(text: str, path: str) -> tuple[TokenizerStep, tuple[Note, ...]]:
    """What the program does; MistakesError with each line that does something else."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as fault:
        raise MistakesError([Mistake(path, "", f"is no Python: {fault}")]) from None
    values: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    mistakes: list[Mistake] = []
    for statement in tree.body:
        if not _is_read(statement, values, found):
            rule = f"line {statement.lineno}: is no step that is known here"
            steps = ", ".join(_OPTIONS)
            shown = show(ast.unparse(statement))
            mistakes.append(Mistake(path, shown, rule, f"only {steps} and plain values are"))
    mistakes += [Mistake(path, "", f"lacks {name}(...)") for name in _OPTIONS if name not in found]
    mistakes += _unknown(found, path)
    if mistakes:
        raise MistakesError(mistakes)
    return _step(found), tuple(_notes(found))


def _is_read(statement: ast.stmt, values: dict[str, Any], found: dict[str, dict[str, Any]]) -> bool:
    """Take note of a statement; False if it is of another kind."""
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return True
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        if isinstance(statement.value, ast.Call):
            return _is_call(statement.value, values, found)
        try:
            values[statement.targets[0].id] = ast.literal_eval(statement.value)
        except ValueError:
            return False
        return True
    if not isinstance(statement, ast.Expr):
        return False
    if isinstance(statement.value, ast.Call):
        return _is_call(statement.value, values, found)
    return isinstance(statement.value, ast.Constant)


def _is_call(call: ast.Call, values: dict[str, Any], found: dict[str, dict[str, Any]]) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    if name not in _OPTIONS:
        return False
    keywords = dict(zip(_ORDER.get(name, ()), call.args, strict=False))
    keywords |= {word.arg: word.value for word in call.keywords if word.arg}
    try:
        found[name] = {key: _value(node, values) for key, node in keywords.items()}
    except (ValueError, KeyError):
        return False
    return True


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    return values[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)


def _unknown(found: Mapping[str, Mapping[str, Any]], path: str) -> Iterator[Mistake]:
    for name, keywords in found.items():
        known = (*_OPTIONS[name], *_ORDER.get(name, ()), "show_progress", "prefix")
        for key in keywords:
            if key not in known:
                way_out = meant(key, known, "remove it")
                yield Mistake(f"{path}: {name}: {key}", "", "is not known here", way_out)


def _step(found: Mapping[str, Mapping[str, Any]]) -> TokenizerStep:
    files = found["train"].get("files", ())
    training: dict[str, Any] = {"type": "wordpiece", "specialTokens": "bert"}
    training["vocabSize"] = DEFAULT_SIZE
    for name, fields in _OPTIONS.items():
        given = found[name]
        training |= {field: given[key] for key, field in fields.items() if key in given}
    return TokenizerStep(
        training=training,
        files=(files,) if isinstance(files, str) else tuple(files),
        to=str(found["save_model"].get("directory", ".")),
        form="vocab",
    )


def _notes(found: Mapping[str, Mapping[str, Any]]) -> Iterator[Note]:
    for name, keywords in found.items():
        for key, value in keywords.items():
            field = _OPTIONS[name].get(key)
            text = f"tokenizer.train.{field}" if field else "as it stands there"
            yield Note(f"{name} {key}", "renamed" if field else "recorded", text, show(value))
