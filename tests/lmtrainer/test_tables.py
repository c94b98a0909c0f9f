"""Tables of samples: the same whole or in chunks, in memory or on the disk."""

import dataclasses
import itertools
import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.dataset import TrainingRows, cutting, open_prepared, permutation, tables
from lmtrainer.dataset.epochs import Epochs
from lmtrainer.dataset.order import Order
from lmtrainer.dataset.samples import Cut, samples, stretches
from lmtrainer.dataset.schedule import even
from lmtrainer.dataset.store import open_split
from lmtrainer.dataset.writing import Writer
from lmtrainer.durable import DamagedError
from tests.rows.prepared import configured, made, sequences

CUTS = [
    Cut(length, objective, kind, policy)
    for length in (5, 12)
    for objective, kinds in (
        ("mlm", ("documents", "blocks", "groups", "lines", "sentences")),
        ("clm", ("documents", "blocks", "stream", "groups", "lines")),
    )
    for kind in kinds
    for policy in (("split", "drop") if kind == "sentences" else ("split",))
]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 25), max_size=60),
    at=st.lists(st.integers(0, 60), max_size=6),
    group=st.integers(1, 9),
    once=st.integers(1, 7),
)
def test_it_does_not_matter_how_many_documents_come_at_once(sizes, at, group, once):
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    bounds = sorted({0, len(sizes), *(min(n, len(sizes)) for n in at)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "GROUP", group)
        for cut in CUTS:
            whole = samples(offsets, cut)
            with pytest.MonkeyPatch.context() as smaller:
                smaller.setattr(cutting, "AT_ONCE", once)
                chunks = [offsets[a : b + 1] for a, b in itertools.pairwise(bounds)]
                parts = list(stretches(chunks, int(offsets[-1]), cut))
            starts = [n for part in parts for n in part.starts.tolist()]
            assert starts == whole.starts.tolist(), cut
            assert [n for part in parts for n in part.sizes.tolist()] == whole.sizes.tolist(), cut


TEXT = "\n".join(f"number {n} " + "and more " * (n % 9) for n in range(200))


@pytest.mark.parametrize("kind", ["documents", "sentences", "blocks"])
def test_tables_on_the_disk_are_those_in_memory(tmp_path, monkeypatch, kind):
    data = {"sequences": kind, "documents": "line", "copyToNode": True, "maxSequences": 90}
    run = configured(data=data)
    plain = made(tmp_path, run, TEXT)
    small = [sequences(TrainingRows(plain, run, 0).micro_batches(n, 0, 1)) for n in range(30)]
    assert not list((tmp_path / "out").glob("samples-*"))
    monkeypatch.setattr(tables, "LARGE", 1)
    made(tmp_path, run)
    assert len(list((tmp_path / "out").glob("samples-*"))) == 2
    claims = {"text": str(tmp_path / "text")}
    large = open_prepared(run, tmp_path / "out", claims, node=tmp_path / "node")
    (place,) = (tmp_path / "node").glob("prepared-*")
    assert len(list(place.glob("samples-*"))) == 2
    monkeypatch.setattr("lmtrainer.dataset.tables.samples", None)
    rows = TrainingRows(large, run, 0)
    assert [sequences(rows.micro_batches(n, 0, 1)) for n in range(30)] == small
    for folder in place.glob("samples-*"):
        path = folder / "sizes"
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="sizes has"):
        TrainingRows(large, run, 0)


def test_of_tables_on_the_disk_only_what_is_missing_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "LARGE", 1)
    run = configured(data={"sequences": "blocks"})
    made(tmp_path, run, TEXT)
    first, second = sorted((tmp_path / "out").glob("samples-*"))
    shutil.rmtree(first)
    (second / "more").touch()  # nobody's claim, but gone if the folder is made anew
    made(tmp_path, run)
    assert (first / "starts").is_file()
    assert (second / "more").is_file()
    path = second / "sizes"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    made(tmp_path, run)
    assert not (second / "more").exists(), "what is damaged is"


def test_memory_stays_flat_while_a_table_is_made(tmp_path, monkeypatch):
    document = np.arange(4, dtype=np.uint32)
    with Writer(tmp_path, 1000, shard_tokens=400_000) as writer:
        for _ in range(120_000):
            writer.add("train", document, last=True)
        writer.seal(fingerprint="f" * 64, tokenizer="e" * 64)
    monkeypatch.setattr("lmtrainer.dataset.store.CHUNK", 5_000)
    monkeypatch.setattr(cutting, "AT_ONCE", 5_000)
    tokens = open_split(tmp_path, "train")
    assert tokens.documents == 120_000
    for cut in CUTS[:6]:
        (tmp_path / "table").mkdir(exist_ok=True)
        tracemalloc.start()
        tables._write(tmp_path / "table", tokens, cut)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000
        for path in (tmp_path / "table").iterdir():
            path.unlink()


@given(size=st.integers(1, 400), key=st.integers(0, 2**64 - 1))
def test_a_permutation_without_a_table_has_every_number_once(size, key):
    assert sorted(permutation.walked(key, size, np.arange(size))) == list(range(size))


def test_a_permutation_without_a_table_is_fair_and_needs_few_places():
    first = np.array([permutation.walked(key, 10, np.arange(10)) for key in range(2500)])
    for number in range(10):
        share = (first == number).mean(axis=0)
        assert np.abs(share - 0.1).max() < 0.04
    huge = permutation.walked(7, 10**12, np.arange(5000))
    assert len(set(huge.tolist())) == 5000
    assert abs(huge.mean() / 10**12 - 0.5) < 0.03
    assert (huge >= 0).all() and (huge < 10**12).all()


def test_an_epoch_of_a_huge_text_has_every_sample_once(monkeypatch):
    monkeypatch.setattr(permutation, "SORTED", 0)
    order = Order(5, 0, Epochs((103,)), even(10))
    numbers = np.concatenate([order.at(step)[0] for step in range(22)])
    assert sorted(numbers[:103]) == sorted(numbers[103:206]) == list(range(103))
    assert numbers[:103].tolist() != numbers[103:206].tolist()


def test_a_cap_is_no_part_of_a_table():
    cut = Cut(8, "mlm", "blocks")
    assert tables._name("train", cut) == tables._name("train", dataclasses.replace(cut, most=3))
