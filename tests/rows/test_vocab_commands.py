"""Rows 7 and 8: a vocabulary as lines, and text that is cut into words beforehand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from lmtrainer import vocab
from lmtrainer.cli import main
from lmtrainer.config.tokenizer import TokenizerTraining
from lmtrainer.contract.exits import ExitType

THAI = "ฉันรักภาษาไทย เพราะสวย\r\n\nน้ำ\u2028ทำงาน"


def tokenizer(folder: Path, **fields: object) -> Path:
    settings = TokenizerTraining(
        **{"type": "wordlevel", "special_tokens": "roberta", "min_frequency": 1, **fields}  # type: ignore[arg-type]
    )
    texts = ["the hacker", "THE back\\slash \u2028 ünï"]
    vocab.make(settings, lambda activity: iter(texts), folder, max_length=9, fingerprint="f")
    return folder


@pytest.mark.parametrize("kind", ["wordlevel", "wordpiece", "bytebpe"])
def test_row_007_line_k_is_the_token_with_id_k(kind: str, tmp_path: Path) -> None:
    size = {} if kind == "wordlevel" else {"vocab_size": 400}
    folder = tokenizer(tmp_path / "t", type=kind, **size)
    assert main(["vocab", str(folder), "--to", str(tmp_path / "new" / "vocab.txt")]) == 0
    lines = (tmp_path / "new" / "vocab.txt").read_text("utf-8").split("\n")
    ids = AutoTokenizer.from_pretrained(folder).get_vocab()
    assert lines.pop() == "" and len(lines) == len(ids)
    assert {token: id_ for id_, token in enumerate(lines)} == ids
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["vocab.txt"]


def test_row_007_a_line_break_takes_no_line(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = tokenizer(tmp_path / "t", newline_token=True)
    assert main(["vocab", str(folder)]) == 0
    lines = capfdbinary.readouterr().out.decode().split("\n")
    assert lines[5] == "\\n" and "back\\\\slash" in lines
    assert len(lines) == len(AutoTokenizer.from_pretrained(folder)) + 1


def test_row_007_of_folders_from_before_tokenizer_json(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hack", "##er"]
    (tmp_path / "vocab.txt").write_text("".join(f"{line}\n" for line in lines))
    assert main(["vocab", str(tmp_path)]) == 0
    assert capfd.readouterr().out.splitlines() == lines

    old = tmp_path / "old"
    old.mkdir()
    ids = {"<|endoftext|>": 0, "h": 1, "a": 2, "ha": 3}
    (old / "vocab.json").write_text(json.dumps(ids))
    (old / "merges.txt").write_text("#version: 0.2\nh a\n")
    (old / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    assert main(["vocab", str(old)]) == 0
    assert capfd.readouterr().out.splitlines() == list(ids)
    assert {path.name for path in vocab.adopted_files(old)} == {path.name for path in old.iterdir()}
    vocab.adopt(old, tmp_path / "adopted", max_length=9, fingerprint="f")
    assert vocab.load(tmp_path / "adopted").encode(["haa"])[0].tolist() == [3, 2]
    assert AutoTokenizer.from_pretrained(tmp_path / "adopted")("haa")["input_ids"] == [3, 2]


def test_row_007_what_is_no_tokenizer_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["vocab", str(tmp_path)]) == ExitType.USER_ERROR.code
    assert "has no tokenizer.json; save it there" in capfd.readouterr().err
    (tmp_path / "vocab.json").write_text("{")
    assert main(["vocab", str(tmp_path)]) == ExitType.USER_ERROR.code
    assert "cannot be converted" in capfd.readouterr().err


@pytest.mark.parametrize("processes", [1, 2])
def test_row_008_text_is_cut_beforehand_and_every_time_alike(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmtrainer.commands.segment.BATCH", 20)
    text = tmp_path / "text" / "thai.txt"
    text.parent.mkdir()
    text.write_bytes((THAI + "\n").encode() * 40 + b"x y")
    out = tmp_path / "out"
    argv = ["segment", "newmm", str(text.parent), "--to", str(out), f"--processes={processes}"]
    assert main(argv) == 0
    once = (out / "thai.txt").read_bytes()
    lines = once.decode().split("\n")
    assert lines[0] == "ฉัน<|>รัก<|>ภาษาไทย<|> <|>เพราะ<|>สวย<|>\r"
    assert lines[1] == "" and lines[-1] == "x<|> <|>y" and len(lines) == 121
    assert once.replace(b"<|>", b"") == text.read_bytes()
    with gzip.open(text.parent / "more.txt.gz", "wb") as packed:
        packed.write(text.read_bytes())
    assert main(argv) == 0
    assert (out / "thai.txt").read_bytes() == (out / "more.txt").read_bytes() == once
    assert {path.name for path in out.iterdir()} == {"thai.txt", "more.txt"}


def test_row_008_a_line_that_nobody_can_hold_stays_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmtrainer.text.decoding.BLOCK", 16)
    monkeypatch.setattr("lmtrainer.text.documents.LONGEST_LINE", 30)
    text, out = tmp_path / "long.txt", tmp_path / "out"
    text.write_text("one two " * 20 + "\nshort")
    assert main(["segment", "newmm", str(text), "--to", str(out)]) == 0
    long, short = (out / "long.txt").read_text().split("\n")
    assert long.split("<|>")[:-1] == ["one", " ", "two", " "] * 19 + ["one", " ", "two"]
    assert short == "short"


def test_row_008_a_file_that_cannot_be_read_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.txt").write_bytes("ก".encode() * 100 + b"\xff")
    assert (
        main(["segment", "newmm", str(tmp_path / "bad.txt"), "--to", str(tmp_path / "out")])
        == ExitType.USER_ERROR.code
    )
    assert "bad.txt" in capfd.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    assert (
        main(["segment", "newm", str(tmp_path / "bad.txt"), "--to", str(tmp_path / "out")])
        == ExitType.USER_ERROR.code
    )
    assert "no segmenter newm" in capfd.readouterr().err
    assert (
        main(["segment", "newmm", str(tmp_path / "bad.txt"), "--to", str(tmp_path)])
        == ExitType.USER_ERROR.code
    )
    assert "holds the text itself" in capfd.readouterr().err
