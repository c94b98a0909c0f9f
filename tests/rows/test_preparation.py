"""Rows 22 to 24, 26 to 30, 39, 128: a dataset on the disk, made once by any number of processes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmtrainer.config.data import DocumentRule
from lmtrainer.dataset import open_prepared, prepare
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.merging import merge
from lmtrainer.dataset.store import open_split
from lmtrainer.dataset.writing import Writer
from lmtrainer.durable import read_manifest, verify_manifest
from lmtrainer.faults import UserError
from lmtrainer.text.counting import count_documents
from lmtrainer.text.parts import parts
from lmtrainer.text.records import Reading, records
from lmtrainer.text.split import Corpus
from tests.rows.prepared import configured, ids, made

TEXT = "\n\n".join(f"text number {n}\nwith {n % 7} lines more" for n in range(400))
MARKS = {"fingerprint": "f" * 64, "tokenizer": "e" * 64}


def digest(folder: Path) -> dict[str, str]:
    """Every file of a dataset but its manifest."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != "manifest.json"
    }


def write(folder: Path, documents: list[list[int]]) -> Path:
    folder.mkdir()
    with Writer(folder, 70_000) as writer:
        for document in documents:
            writer.add("train", np.array(document, dtype=np.uint32), last=True)
        writer.seal(**MARKS)
    return folder


READ = """
import resource, sys
from pathlib import Path
import numpy as np
from lmtrainer.dataset.store import open_split
tokens = open_split(Path(sys.argv[1]), "train")
out = np.empty(100_000, dtype=np.int64)
before = int(open("/proc/self/statm").read().split()[1]) * 4096
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]),) * 2)
total = 0
for start in range(0, len(tokens) - len(out), len(out)):
    tokens.copy(start, out)
    total += int(out[::1000].sum())
found = open("/proc/self/smaps_rollup").read().split()
anonymous = int(found[found.index("Anonymous:") + 1]) * 1024
print(len(tokens), total, anonymous)
"""


def test_row_022_a_store_is_read_in_flat_memory_and_gives_back_what_was_written(
    tmp_path: Path,
) -> None:
    document = np.arange(200_000, dtype=np.uint32) % 70_000
    with Writer(tmp_path, 70_000) as writer:
        for _ in range(200):
            writer.add("train", document, last=True)
        writer.seal(**MARKS)
    assert facts_of(read_manifest(tmp_path)).dtype == "uint32"
    tokens = open_split(tmp_path, "train")
    size = sum(path.stat().st_size for path in tmp_path.glob("*.tokens"))
    assert size == 160_000_000
    out = np.empty(200_000, dtype=np.int64)
    for number in (0, 99, 199):
        tokens.copy(number * len(out), out)
        assert (out == document).all()
    found = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), str(size // 2)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    count, _, anonymous = map(int, found.stdout.split())
    assert count == 40_000_000
    assert anonymous < size / 3


KILLED = """
import os, signal, sys
from pathlib import Path
import lmtrainer.text.parts
from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import prepare
lmtrainer.text.parts.SMALLEST = 2000
processes = int(sys.argv[5])
run = parse(RunConfig, {
    "data": {"train": [sys.argv[2]], "cache": sys.argv[1] + "/cache", "processes": processes,
             "validation": {"share": 0.1}},
    "tokenizer": {"train": {"vocabSize": 400}}, "model": {"type": "bert"},
    "phases": [{"name": "main", "steps": 1, "sequenceLength": 16}], "output": {"to": "out"},
})
left = int(sys.argv[3])
def progress(activity, done, total):
    global left
    left -= activity == sys.argv[4]
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
found = prepare(resolve(run, precision="fp32", threads=1), Path(sys.argv[1], "out"), {}, progress)
print(found.manifest_sha256)
"""


def prepared_by_process(
    folder: Path, left: int = -1, activity: str = "", processes: int = 1
) -> Any:
    folder.mkdir(exist_ok=True)
    source = folder.parent / "text.txt"
    source.write_text(TEXT)
    options = [str(folder), str(source), str(left), activity, str(processes)]
    return subprocess.run(
        [sys.executable, "-c", KILLED, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if left > 0 else None,
        text=True,
    )


@pytest.mark.parametrize("left", [1, 5])
def test_row_023_a_build_that_was_killed_ends_with_the_same_bytes(
    tmp_path: Path, left: int
) -> None:
    killed = prepared_by_process(tmp_path / "a", left, "encode text")
    assert killed.returncode == -signal.SIGKILL
    mended, whole = (prepared_by_process(tmp_path / name) for name in "ab")
    assert mended.stdout == whole.stdout != ""
    (a,), (b,) = ((tmp_path / name / "cache").iterdir() for name in "ab")
    assert digest(a / "dataset") == digest(b / "dataset")
    assert {path.name for path in a.iterdir()} == {"dataset", "lock", "tokenizer"}


def of_folder(folder: Path) -> list[int]:
    """Processes whose command line names a folder, or that were started by such a one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes()
            environment = (entry.parent / "environ").read_bytes()
            if str(folder).encode() in words + environment:
                found.append(int(entry.parent.name))
    return [pid for pid in found if pid != os.getpid()]


@pytest.mark.slow
def test_row_023_no_process_outlives_the_one_that_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKED_FOR_THE_TEST", str(tmp_path))
    killed = prepared_by_process(tmp_path / "a", 2, "encode text", 2)
    monkeypatch.delenv("MARKED_FOR_THE_TEST")
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while of_folder(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert of_folder(tmp_path) == []
    mended, whole = (prepared_by_process(tmp_path / name, processes=2) for name in "ab")
    assert mended.stdout == whole.stdout != ""


def test_row_023_parts_that_were_done_before_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmtrainer.text.parts.SMALLEST", 2000)
    run = configured(data={"processes": 1})
    done: list[int] = []

    def stop(activity: str, read: int, total: int | None) -> None:
        if activity == "encode text" and read > 5000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, run, TEXT, progress=stop)
    (place,) = (tmp_path / "out").glob("parts-*")
    kept = {path: path.stat().st_ino for path in place.glob("0*/*.tokens")}
    assert len(kept) == 2
    monkeypatch.setattr(
        "lmtrainer.dataset.tasks.encode",
        counting("lmtrainer.dataset.encode", "encode", done),
    )
    whole = made(tmp_path, run)
    assert len(done) == len(list(whole.dataset.glob("*.tokens"))) - 2
    assert not list((tmp_path / "out").glob("parts-*"))
    assert set(kept.values()) <= {path.stat().st_ino for path in whole.dataset.iterdir()}


def counting(module: str, name: str, calls: list[int]) -> Callable[..., Any]:
    """The function, which notes each call."""
    function = getattr(sys.modules[module], name)

    def noted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return function(*args, **options)

    return noted


def test_row_024_a_second_dataset_keeps_the_first_ones_items(tmp_path: Path) -> None:
    first = write(tmp_path / "first", [[1, 2, 3], [4]])
    second = write(tmp_path / "second", [[5, 6], [70_000 - 1]])
    both = tmp_path / "both"
    both.mkdir()
    merge([first, second], both)
    verify_manifest(both)
    tokens = open_split(both, "train")
    assert ids(tokens) == [1, 2, 3, 4, 5, 6, 69_999]
    assert tokens.offsets.tolist() == [0, 3, 4, 6, 7]


def test_row_027_a_second_run_reads_no_text_but_to_compare_it(tmp_path: Path) -> None:
    run = configured(data={"cache": str(tmp_path / "cache")})
    first = made(tmp_path, run, TEXT)
    told: list[str] = []
    again = prepare(
        run,
        tmp_path / "other",
        {"text": str(tmp_path / "text")},
        lambda activity, done, total: told.append(activity),
    )
    assert set(told) == {"read text"}
    assert again.dataset == first.dataset


CHANGES: dict[str, Any] = {
    "nothing": {},
    "text": {"text": TEXT.replace("7", "8", 1)},
    "tokenizer": {"tokenizer": {"train": {"vocabSize": 401}}},
    "format of what is written": {"data": {"sequences": "groups"}},
    "length": {"length": 24},
    "how it is cut": {"data": {"sequences": "blocks"}},
}


@pytest.mark.parametrize("what", CHANGES)
def test_row_028_any_change_of_what_the_ids_depend_on_makes_them_anew(
    tmp_path: Path, what: str
) -> None:
    made(tmp_path, configured(), TEXT)
    before = (tmp_path / "out" / "prepared.json").read_text()
    change = dict(CHANGES[what])
    text = change.pop("text", TEXT)
    made(tmp_path, configured(**change), text)
    same = (tmp_path / "out" / "prepared.json").read_text() == before
    # Length and cut are no matter of the disk: every phase cuts the same ids as it likes.
    assert same == (what in ("nothing", "length", "how it is cut"))


def test_row_026_the_data_can_be_made_without_torch_or_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from pathlib import Path; from tests.rows.prepared import configured\n"
        "from lmtrainer.dataset import prepare\n"
        "data = {'train': [sys.argv[1]], 'validation': {'share': 0.1}}\n"
        "print(prepare(configured(data=data), Path(sys.argv[2]), {}).train.documents)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.txt"), str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) > 300
    verify_manifest(tmp_path / "out" / "dataset")
    assert not (tmp_path / "out" / "model").exists()


def test_row_029_a_rebuild_can_be_asked_for(tmp_path: Path) -> None:
    made(tmp_path, configured(), TEXT)
    told: list[str] = []

    def note(activity: str, done: int, total: int | None) -> None:
        told.append(activity)

    first = digest(tmp_path / "out" / "dataset")
    made(tmp_path, configured(), progress=note)
    assert "encode text" not in told
    anew = made(tmp_path, configured(data={"rebuild": True}), progress=note)
    assert {"train tokenizer", "encode text"} <= set(told)
    assert digest(anew.dataset) == first


def test_row_030_of_four_that_begin_at_once_one_builds_and_the_others_wait(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    for name in ("train", "held"):
        (tmp_path / "text" / f"{name}.txt").write_text(TEXT)
    run = configured(data={"cache": str(tmp_path / "cache")})
    built: list[int] = []
    begin = threading.Barrier(4)

    def one(number: int) -> None:
        def told(activity: str, done: int, total: int | None) -> None:
            if activity == "encode text" and done == total:
                built.append(number)
                time.sleep(0.3)

        begin.wait()
        claims = {"text": str(tmp_path / "text")}
        made_by[number] = prepare(run, tmp_path / f"out{number}", claims, told).manifest_sha256

    made_by: dict[int, str] = {}
    threads = [threading.Thread(target=one, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(built)) == 1
    assert len(made_by) == 4
    assert len(set(made_by.values())) == 1


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


def test_row_128_training_reads_a_copy_on_its_own_node(tmp_path: Path) -> None:
    run = configured(data={"copyToNode": True, "cache": str(tmp_path / "far")})
    far = made(tmp_path, run, TEXT)
    node = tmp_path / "node"
    claims = {"text": str(tmp_path / "text")}
    ranks = [open_prepared(run, tmp_path / "out", claims, node=node) for _ in range(2)]
    assert all(node in rank.dataset.parents for rank in ranks)
    assert ranks[0].dataset == ranks[1].dataset
    assert digest(ranks[0].dataset) == digest(far.dataset)
    assert ids(ranks[0].train) == ids(far.train)
    (far.dataset / "train-00000.tokens").unlink()
    again = open_prepared(run, tmp_path / "out", claims, node=node)
    assert ids(again.train) == ids(ranks[0].train)
    with pytest.raises(UserError, match=r"train-00000.tokens is missing"):
        open_prepared(run, tmp_path / "out", claims)


def test_row_128_a_copy_that_went_wrong_is_not_kept(tmp_path: Path) -> None:
    run = configured(data={"copyToNode": True, "cache": str(tmp_path / "far")})
    far = made(tmp_path, run, TEXT)
    path = far.dataset / "train-00000.tokens"
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    node, claims = tmp_path / "node", {"text": str(tmp_path / "text")}
    with pytest.raises(UserError, match=r"train-00000.tokens was changed: its sha256 does not"):
        open_prepared(run, tmp_path / "out", claims, node=node)
    path.write_bytes(whole)
    assert ids(open_prepared(run, tmp_path / "out", claims, node=node).train) == ids(far.train)


def test_all_locations_that_name_nothing_are_told_at_once(tmp_path: Path) -> None:
    places = {
        "train": ["pvc://text/*.txt", "pvc://text/none.csv", "sample://nobody"],
        "validation": {"files": ["pvc://text/neither.txt"]},
    }
    with pytest.raises(UserError) as caught:
        made(tmp_path, configured(data=places), TEXT)
    told = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in told] == [
        "data.train[1]",
        "data.train[2]",
        "data.validation.files[0]",
    ]


EMPTY = {"nothing": "", "white space": " \n\n\t\n", "a byte order mark": "\ufeff"}


@pytest.mark.parametrize("what", EMPTY)
@pytest.mark.parametrize("share", [True, False])
def test_text_without_text_is_refused(tmp_path: Path, what: str, share: bool) -> None:
    validation = {"share": 0.1} if share else {"files": ["pvc://text/held.txt"]}
    with pytest.raises(UserError, match=r"data.train: (no text|0 tokens <)"):
        made(tmp_path, configured(data={"validation": validation}), EMPTY[what])
