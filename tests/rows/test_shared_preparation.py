"""Row 39: text that is prepared in parts, by any number of processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmtrainer.config.data import DocumentRule
from lmtrainer.faults import UserError
from lmtrainer.text.counting import count_documents
from lmtrainer.text.parts import parts
from lmtrainer.text.records import Reading, records
from lmtrainer.text.split import Corpus
from tests.rows.prepared import TEXT, configured, ids, made


@pytest.mark.slow
def test_row_039_ids_and_order_are_the_same_for_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for processes, smallest in ((1, 1 << 20), (1, 2000), (2, 2000), (3, 3000)):
        monkeypatch.setattr("lmtrainer.text.parts.SMALLEST", smallest)
        data = {"processes": processes, "validation": {"share": 0.1}}
        folder = tmp_path / f"{processes}-{smallest}"
        folder.mkdir()
        prepared = made(folder, configured(data=data), TEXT)
        shards = len(list(prepared.dataset.glob("train-*.tokens")))
        assert (shards == 1) == (smallest > len(TEXT))
        sides = (prepared.train, prepared.validation)
        assert sum(side.documents for side in sides) == 400
        found[processes, smallest] = [(ids(side), side.offsets.tolist()) for side in sides]
    first, *others = found.values()
    assert all(other == first for other in others)


@pytest.mark.slow
def test_row_039_a_mistake_in_any_part_is_told_by_whoever_found_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmtrainer.text.parts.SMALLEST", 2000)
    data = {"processes": 2, "validation": {"share": 0.1}}
    run = configured(data=data)
    source = made(tmp_path, run, TEXT)
    path = tmp_path / "text" / "train.txt"
    text = path.read_bytes()
    path.write_bytes(text[:9000] + b"\xff" + text[9001:])
    run = configured(data=data, tokenizer={"from": str(source.tokenizer)})
    with pytest.raises(UserError, match=r"train.txt: byte 0xff at offset 9000 is not UTF-8"):
        made(tmp_path, run)


LINES = st.lists(
    st.sampled_from(["word", " two words", "", "\t", "é" * 9, "end ", "\u00a0"]), max_size=60
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=LINES,
    size=st.integers(1, 40),
    rule=st.sampled_from(["line", "blankLine", "file"]),
    end=st.sampled_from(["\n", "\r\n"]),
    block=st.integers(1, 12),
)
def test_row_039_parts_of_a_file_have_its_documents(
    tmp_path: Path, lines: list[str], size: int, rule: DocumentRule, end: str, block: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(end.join(lines).encode())
    reading = Reading(rule)
    corpus = Corpus((path, path), (path,), reading, None, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmtrainer.text.parts.BLOCK", block)
        found = parts(corpus, size)
    assert [part.number for part in found] == list(range(len(found)))
    assert sum(part.size for part in found) == 3 * path.stat().st_size
    for held_out, times in ((False, 2), (True, 1)):
        mine = [file for part in found if part.held_out == held_out for file in part.files]
        assert [p for f in mine for p in records(f, reading)] == [*records(path, reading)] * times


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=LINES,
    rule=st.sampled_from(["line", "blankLine", "file"]),
    block=st.integers(1, 12),
    longest=st.sampled_from([5, 1000]),
)
def test_row_039_documents_are_counted_as_they_are_read(
    tmp_path: Path, lines: list[str], rule: DocumentRule, block: int, longest: int
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n".join(lines))
    reading = Reading(rule)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lmtrainer.text.decoding.BLOCK", block)
        patch.setattr("lmtrainer.text.counting.LONGEST_LINE", longest)
        read: list[int] = []
        count = count_documents(path, reading, read.append)
        assert count == sum(piece.last for piece in records(path, reading))
    assert sum(read) <= path.stat().st_size


def test_row_039_a_line_of_json_is_never_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "row {n}"}}\n' for n in range(50)))
    reading = Reading("blankLine")
    found = parts(Corpus((path,), (), reading, None, 1), 100)
    assert len(found) > 5
    rows = [piece.text for part in found for f in part.files for piece in records(f, reading)]
    assert rows == [f"row {n}" for n in range(50)]
