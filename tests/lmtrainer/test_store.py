"""The dataset on the disk gives back what was written, or says which file is not as it was."""

import itertools
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.dataset import store
from lmtrainer.dataset.answers import open_answers
from lmtrainer.dataset.facts import facts_of
from lmtrainer.dataset.store import open_counts, open_sentences, open_split
from lmtrainer.dataset.writing import Writer
from lmtrainer.durable import DamagedError, read_manifest, verify_manifest
from lmtrainer.text.instances import Instance

MARKS = {"fingerprint": "f" * 64, "tokenizer": "e" * 64}


def write(folder, documents, vocab_size=1000, validation=(), **options):
    """Each document is a list of parts, each part a list of ids."""
    folder.mkdir(exist_ok=True)
    with Writer(folder, vocab_size, **options) as writer:
        for split, parts in [("train", d) for d in documents] + [
            ("validation", d) for d in validation
        ]:
            for number, part in enumerate(parts, 1):
                writer.add(split, np.array(part, dtype=np.uint32), last=number == len(parts))
        writer.seal(**MARKS)
    return folder


def read(folder, split="train"):
    tokens = open_split(folder, split)
    documents = []
    for begin, end in itertools.pairwise(tokens.offsets.tolist()):
        out = np.empty(end - begin, dtype=np.int64)
        tokens.copy(begin, out)
        documents.append(out.tolist())
    assert sum(map(len, documents)) == len(tokens)
    assert tokens.documents == len(documents)
    return documents


IDS = st.lists(st.integers(0, 999), max_size=6)
DOCUMENTS = st.lists(st.lists(IDS, min_size=1, max_size=3), max_size=12)


@settings(max_examples=60, deadline=None)
@given(documents=DOCUMENTS, validation=DOCUMENTS, shard=st.integers(1, 12))
def test_documents_come_back_whatever_the_shards(tmp_path_factory, documents, validation, shard):
    folder = tmp_path_factory.mktemp("store")
    write(folder, documents, validation=validation, shard_tokens=shard)
    for split, written in (("train", documents), ("validation", validation)):
        whole = [list(itertools.chain(*parts)) for parts in written]
        assert read(folder, split) == [document for document in whole if document]
    everything = list(itertools.chain(*itertools.chain(*documents)))
    assert open_counts(folder).tolist() == np.bincount(everything, minlength=1000).tolist()
    verify_manifest(folder)


@settings(max_examples=40, deadline=None)
@given(documents=DOCUMENTS, shard=st.integers(1, 12), data=st.data())
def test_any_stretch_is_read_across_documents_and_shards(tmp_path_factory, documents, shard, data):
    folder = tmp_path_factory.mktemp("store")
    write(folder, documents, shard_tokens=shard)
    everything = list(itertools.chain(*itertools.chain(*documents)))
    begin = data.draw(st.integers(0, len(everything)))
    end = data.draw(st.integers(begin, len(everything)))
    out = np.full(end - begin, -1)
    open_split(folder, "train").copy(begin, out)
    assert out.tolist() == everything[begin:end]


def test_every_document_can_end_in_a_token_of_its_own(tmp_path):
    write(tmp_path, [[[5, 6]], [[]], [[7], []]], terminator=9)
    assert read(tmp_path) == [[5, 6, 9], [7, 9]]
    assert open_counts(tmp_path)[9] == 2


def test_a_long_document_may_end_in_an_empty_part(tmp_path):
    long = [7] * 300_000
    write(tmp_path, [[long, []], [[8]], [long, [], []]])
    assert read(tmp_path) == [long, [8], long]


@pytest.mark.parametrize(("size", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_ids_take_two_bytes_while_they_can(tmp_path, size, dtype):
    write(tmp_path, [[[0, size - 1]]], vocab_size=size)
    assert facts_of(read_manifest(tmp_path)).dtype == dtype
    assert (tmp_path / "train-00000.tokens").stat().st_size == 2 * np.dtype(dtype).itemsize
    assert read(tmp_path) == [[0, size - 1]]


def test_a_document_stays_in_one_shard_and_a_full_shard_is_followed_by_another(tmp_path):
    write(tmp_path, [[[1] * 4], [[2] * 3], [[3] * 20], [[4]]], shard_tokens=6)
    facts = facts_of(read_manifest(tmp_path))
    assert [(s.name, s.documents, s.tokens) for s in facts.train] == [
        ("train-00000", 2, 7),
        ("train-00001", 1, 20),
        ("train-00002", 1, 1),
    ]
    assert facts.validation == ()
    assert len(open_split(tmp_path, "validation")) == 0


def test_an_id_beyond_the_vocabulary_is_never_written(tmp_path):
    with pytest.raises(ValueError, match="shape"):
        write(tmp_path, [[[1000]]])


@pytest.mark.parametrize("name", ["train-00000.tokens", "train-00000.offsets", "train.counts"])
def test_a_missing_or_cut_file_is_named(tmp_path, name):
    write(tmp_path, [[[1, 2, 3]], [[4]]])
    opened = open_counts if name == "train.counts" else lambda folder: open_split(folder, "train")
    size = (tmp_path / name).stat().st_size
    for cut in (size - 1, size // 2, 0):
        os.truncate(tmp_path / name, cut)
        with pytest.raises(DamagedError, match=f"{name} has {cut} bytes, not {size}"):
            opened(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DamagedError, match=f"{name} is missing"):
        opened(tmp_path)


def test_more_files_than_a_process_may_have_open_are_asked_for(tmp_path, monkeypatch):
    folder = tmp_path / "many"
    write(folder, [[[n + 1]] for n in range(40)], validation=[[[7]]] * 40, shard_tokens=1)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = len(list(Path("/proc/self/fd").iterdir())) + 8
    monkeypatch.setattr(store, "SPARE_FILES", spare)
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, limits[1]))
    try:
        splits = [open_split(folder, split) for split in ("train", "validation")]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [len(split) for split in splits] == [40, 40]


def test_offsets_that_do_not_fit_are_found(tmp_path):
    write(tmp_path, [[[1, 2, 3]], [[4]]])
    path = tmp_path / "train-00000.offsets"
    for wrong in ([0, 4, 4], [0, 5, 4], [1, 3, 4], [0, 3, 5]):
        path.write_bytes(np.array(wrong, dtype="<u8").tobytes())
        with pytest.raises(DamagedError, match="does not fit"):
            open_split(tmp_path, "train")


def test_a_manifest_of_a_newer_format_or_of_something_else_is_refused(tmp_path):
    write(tmp_path, [[[1]]])
    manifest = read_manifest(tmp_path)
    with pytest.raises(DamagedError, match="format 2, this lmtrainer 1"):
        facts_of(type(manifest)(**{**vars(manifest), "facts": {**manifest.facts, "format": 2}}))
    with pytest.raises(DamagedError, match="not one of a dataset"):
        facts_of(type(manifest)(**{**vars(manifest), "facts": {"position": 3}}))


def test_memory_stays_flat_while_writing(tmp_path):
    document = np.arange(10_000, dtype=np.uint32) % 1000
    tracemalloc.start()
    with Writer(tmp_path, 1000, shard_tokens=4_000_000) as writer:
        for _ in range(2000):
            writer.add("train", document, last=True)
        writer.seal(**MARKS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tokens = open_split(tmp_path, "train")
    assert len(tokens) == 20_000_000
    assert len(facts_of(read_manifest(tmp_path)).train) == 5
    assert peak < 10_000_000


def write_sentences(folder, documents, shard=10**6):
    """Each document is a list of parts, each part a list of sentences."""
    with Writer(folder, 1000, sentences=True, shard_tokens=shard) as writer:
        for parts in documents:
            for number, part in enumerate(parts, 1):
                found = [sentence for sentence in part if sentence]
                ids = np.array(list(itertools.chain(*found)), dtype=np.uint32)
                ends = list(itertools.accumulate(map(len, found)))
                writer.add("train", ids, last=number == len(parts), ends=ends)
        writer.seal(**MARKS)


SENTENCES = st.lists(st.lists(st.lists(IDS, max_size=4), min_size=1, max_size=3), max_size=8)


@settings(max_examples=60, deadline=None)
@given(documents=SENTENCES, shard=st.integers(1, 30))
def test_sentences_come_back_whatever_the_parts_and_shards(tmp_path_factory, documents, shard):
    folder = tmp_path_factory.mktemp("store")
    write_sentences(folder, documents, shard)
    ids = list(itertools.chain(*read(folder)))
    found, place = [], 0
    for begins in open_sentences(folder, "train"):
        sizes = np.diff(begins.astype(np.int64)).tolist()
        found += [
            ids[place + b : place + b + n] for b, n in zip(begins[:-1].tolist(), sizes, strict=True)
        ]
        place += int(begins[-1])
    assert found == [s for parts in documents for part in parts for s in part if s]
    offsets = open_split(folder, "train").offsets.tolist()
    ends = np.cumsum([0, *map(len, found)]).tolist()
    assert set(offsets) <= set(ends)
    verify_manifest(folder)


def test_sentences_that_were_not_recorded_or_do_not_fit_are_told(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    write(tmp_path / "a", [[[1]]])
    with pytest.raises(DamagedError, match="does not name train-00000"):
        open_sentences(tmp_path / "a", "train")
    write_sentences(tmp_path / "b", [[[[1, 2], [3]]]])
    path = tmp_path / "b" / "train-00000.sentences"
    for wrong in ([0, 2, 4], [1, 2, 3]):
        path.write_bytes(np.array(wrong, dtype="<u8").tobytes())
        with pytest.raises(DamagedError, match="does not fit"):
            open_sentences(tmp_path / "b", "train")


INSTANCES = st.lists(
    st.tuples(
        st.lists(st.integers(5, 999), min_size=1, max_size=9),
        st.integers(0, 9),
        st.booleans(),
        st.sets(st.integers(0, 8), max_size=5),
    ),
    min_size=1,
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(made=INSTANCES, shard=st.integers(1, 30), data=st.data())
def test_instances_come_back_in_any_order_whatever_the_shards(tmp_path_factory, made, shard, data):
    folder = tmp_path_factory.mktemp("store")
    written = []
    with Writer(folder, 1000, instances=True, shard_tokens=shard) as writer:
        for ids, first, is_random, places in made:
            inside = np.array(sorted(p for p in places if p < len(ids)), dtype=np.uint32)
            labels = (inside + 7).astype(np.uint32)
            instance = Instance(first, is_random, inside, labels)
            writer.add_instance("train", np.array(ids, dtype=np.uint32), instance)
            written.append(instance)
        writer.seal(**MARKS)
    assert read(folder) == [ids for ids, *_ in made]
    verify_manifest(folder)
    numbers = np.array(data.draw(st.permutations(range(len(made)))), dtype=np.int64)
    found = open_answers(folder, "train").of(numbers)
    ends = np.cumsum(found.counts)
    for place, number in enumerate(numbers.tolist()):
        mine = slice(ends[place] - found.counts[place], ends[place])
        instance = written[number]
        assert (found.firsts[place], found.is_random[place]) == instance[:2]
        assert found.places[mine].tolist() == instance.places.tolist()
        assert found.labels[mine].tolist() == instance.labels.tolist()
