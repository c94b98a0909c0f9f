"""Rows 22, 24 and 26 to 30: a dataset on the disk, made once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmtrainer.dataset import prepare
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.merging import merge
from lmtrainer.dataset.store import open_split
from lmtrainer.dataset.writing import Writer
from lmtrainer.durable import read_manifest, verify_manifest
from lmtrainer.faults import UserError
from tests.rows.prepared import TEXT, configured, digest, ids, made

MARKS = {"fingerprint": "f" * 64, "tokenizer": "e" * 64}


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
