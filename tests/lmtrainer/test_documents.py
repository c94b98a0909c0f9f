"""A text file becomes documents, unchanged, whatever its size and encoding."""

import itertools
import tracemalloc

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lmtrainer.faults import UserError
from lmtrainer.text import documents as module
from lmtrainer.text.decoding import BLOCK
from lmtrainer.text.documents import PIECE, cut_lines, documents, joined, paragraphs

RULES = {
    "line": ["first line", " second\x0cline", "third"],
    "blankLine": ["first line\n second\x0cline", "third"],
    "file": ["\nfirst line\n second\x0cline\n \n\nthird\n"],
}


def texts(path, *options):
    """Documents of a file, their pieces put together."""
    whole, held = [], ""
    for piece in documents(path, *options):
        held += piece.text
        if piece.last:
            whole.append(held)
            held = ""
    assert held == ""
    return whole


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_says_where_documents_end(tmp_path, rule):
    path = tmp_path / "text"
    path.write_bytes(RULES["file"][0].encode())
    assert texts(path, rule) == RULES[rule]


def test_line_breaks_of_windows_end_lines_and_stay_within_documents(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"one\r\ntwo\r\n\r\nthree\r\n")
    assert texts(path, "line") == ["one", "two", "three"]
    assert texts(path, "blankLine") == ["one\r\ntwo", "three"]


@pytest.mark.parametrize("rule", RULES)
def test_white_space_alone_is_no_document(tmp_path, rule):
    path = tmp_path / "text"
    for content in ("", "\n \n\t\n", "\u00a0\n"):
        path.write_text(content, "utf-8")
        assert texts(path, rule) == []


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig"]
)
def test_text_comes_through_every_encoding(tmp_path, encoding):
    path = tmp_path / "text"
    path.write_bytes("Größe\nnaïve".encode(encoding))
    assert texts(path, "file", encoding) == ["Größe\nnaïve"]


def test_a_byte_order_mark_is_not_text(tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfword")
    assert texts(path, "line", "UTF8") == ["word"]


@pytest.mark.parametrize(
    ("content", "encoding", "byte", "offset"),
    [
        (b"a" * 812 + b"\xff" + b"b" * 10, "utf-8", 0xFF, 812),
        (b"\xef\xbb\xbfab\xff", "utf-8", 0xFF, 5),
        (b"a" * (BLOCK - 1) + b"\xe2\x82", "utf-8", 0xE2, BLOCK - 1),
        (b"a" * (BLOCK - 1) + b"\xe2x", "utf-8", 0xE2, BLOCK - 1),
        (b"a" * (2 * BLOCK + 3) + b"\x80", "ascii", 0x80, 2 * BLOCK + 3),
        (b"a" * (BLOCK - 1) + b"\xa4\xff", "euc-jp", 0xA4, BLOCK - 1),
        (b"\xff\xfea\x00\x00\xd8b\x00", "utf-16", 0x00, 4),
    ],
)
def test_a_byte_that_is_not_text_is_named_with_its_offset(
    tmp_path, content, encoding, byte, offset
):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        texts(path, "blankLine", encoding)
    assert str(caught.value) == (
        f"{path}: byte 0x{byte:02x} at offset {offset} is not {encoding.upper()}; "
        "set data.encoding to the encoding of the files"
    )


LINES = st.lists(st.sampled_from(["word", " indented", "", "\t", "x" * 9, "end "]), max_size=40)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, size=st.integers(1, 30))
@example(lines=["word", "word", "", "word"], size=1)
def test_long_documents_come_in_pieces_that_make_up_the_text(tmp_path, monkeypatch, lines, size):
    monkeypatch.setattr("lmtrainer.text.documents.PIECE", size)
    monkeypatch.setattr("lmtrainer.text.decoding.BLOCK", 7)
    text = "\n".join(lines)
    path = tmp_path / "text"
    path.write_text(text)
    assert texts(path, "file") == ([text] if text.strip() else [])
    pieces = list(documents(path, "file"))
    for before, after in itertools.pairwise(pieces):
        assert before.text.endswith("\n")
        assert len(before.text) >= size
        clean = not before.text[-2:-1].isspace() and not after.text[0].isspace()
        assert clean or len(before.text) >= 2 * size


@pytest.mark.parametrize("end", ["", " "])
def test_memory_stays_flat_for_one_document_of_any_size(tmp_path, end):
    path = tmp_path / "text"
    with path.open("w") as file:
        for _ in range(2000):
            file.write("a line of some words " * 1000 + f"ends{end}\n")
    assert path.stat().st_size > 40 * PIECE
    tracemalloc.start()
    count = sum(len(piece.text) for piece in documents(path, "file"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == path.stat().st_size
    assert peak < 16 * PIECE


def test_every_byte_that_is_read_is_told(tmp_path):
    path = tmp_path / "text"
    path.write_text("word\n" * 500_000)
    told = []
    for _ in documents(path, "line", on_read=told.append):
        pass
    assert sum(told) == path.stat().st_size
    assert len(told) > 2


@settings(max_examples=400)
@given(
    st.lists(st.text(alphabet="ab \n\r\t\x0c\u00a0\u2028", max_size=9), max_size=12),
    st.sampled_from([4, 1 << 20]),
)
@example(["a\n", "\nb"], 4)
@example(["aaa\na"], 4)
@example(["aaaa\n"], 4)
@example(["a\n  "], 1 << 20)
@example([" \na\n\n", " \n b"], 1 << 20)
def test_short_documents_are_cut_as_long_ones_are(blocks, piece):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        slow = joined(cut_lines(iter(blocks)), blank_line_ends=True)
        assert list(paragraphs(iter(blocks))) == list(slow)
