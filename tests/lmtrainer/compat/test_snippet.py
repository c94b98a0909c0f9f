"""The tutorial's snippet is read, never run, and trains the tokenizer that it would train."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import BertWordPieceTokenizer

from lmtrainer.cli import main
from lmtrainer.text.sources import expand
from tests.lmtrainer.compat.fakes import Drawer, told

SNIPPET = """
from tokenizers import BertWordPieceTokenizer

data = ["/dataset/train.txt"]
output_dir = "/output/bert/tokens"
vocab_size = 30522

tokenizer = BertWordPieceTokenizer()
tokenizer.train(data, vocab_size=vocab_size)

tokenizer.save_model(output_dir)
"""


def test_row_001_the_snippet_leaves_a_vocabulary_of_wordpieces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text,) = expand(["sample://jargon"], {})
    assert isinstance(text, Path)
    (tmp_path / "train.txt").write_text("\n".join(text.read_text().split("\n")[:800]))
    (tmp_path / "config.json").write_text("{}")
    program = tmp_path / "tokenize.py"
    for old, new in (("/dataset", tmp_path), ("/output/bert/tokens", tmp_path), ("30522", 500)):
        program.write_text(
            (program.read_text() if program.exists() else SNIPPET).replace(old, str(new))
        )
    assert main(["compat", "python", str(program)]) == 0
    assert "train vocab_size 500: renamed: tokenizer.train.vocabSize" in capsys.readouterr().err
    lines = (tmp_path / "vocab.txt").read_text().splitlines()
    assert lines[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert len(lines) == 500
    theirs = BertWordPieceTokenizer()
    theirs.train([str(tmp_path / "train.txt")], vocab_size=500, show_progress=False)
    common = set(theirs.get_vocab()) & set(lines)
    assert len(common) > 480, "equal counts are decided otherwise, no more"
    assert (tmp_path / "config.json").read_text() == "{}", "what lay beside stays"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import os; os.system('true')", "is no step that is known here"),
        ("tokenizer.train(open('x'))", "is no step that is known here"),
        (
            "tokenizer.train(data, vocab_sise=3)",
            "vocab_sise: is not known here; did you mean vocab_size",
        ),
        ("def f(:", "is no Python"),
    ],
)
def test_anything_else_in_it_is_refused(line: str, message: str) -> None:
    found = told("python a.py", Drawer({"a.py": f"{SNIPPET}\n{line}\n"}))
    assert any(message in text for text in found), found


def test_what_is_missing_in_it_is_named() -> None:
    short = SNIPPET.replace("tokenizer.save_model(output_dir)", "")
    assert told("python a.py", Drawer({"a.py": short})) == ["a.py: lacks save_model(...)"]
