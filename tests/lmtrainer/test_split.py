"""Which documents are held out: a fair share, always the same ones, never the trained ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.config import parse
from lmtrainer.config.data import DataConfig
from lmtrainer.faults import UserError
from lmtrainer.text.split import find, pieces


def corpus(folder, *, seed=42, train=("*.txt",), **validation):
    data = parse(
        DataConfig,
        {
            "train": [f"pvc://text/{pattern}" for pattern in train],
            "documents": "line",
            **({"validation": validation} if validation else {}),
        },
    )
    return find(data, seed, {"text": str(folder)})


def sides(corpus):
    found = {"train": [], "validation": []}
    for split, piece in pieces(corpus):
        found[split].append(piece.text)
    return found


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"a{n}\n" for n in range(6000)))
    (tmp_path / "b.txt").write_text("".join(f"b{n}\n" for n in range(4000)))
    return tmp_path


def test_about_the_share_is_held_out_and_every_document_is_somewhere(folder):
    found = sides(corpus(folder, share=0.1))
    assert 900 < len(found["validation"]) < 1100
    assert sorted(found["train"] + found["validation"]) == sorted(
        [f"a{n}" for n in range(6000)] + [f"b{n}" for n in range(4000)]
    )
    assert found == sides(corpus(folder, share=0.1))


def test_the_side_of_a_document_depends_on_seed_and_number_not_on_its_file(folder, tmp_path):
    before = sides(corpus(folder, share=0.1))
    assert before != sides(corpus(folder, share=0.1, seed=43))
    text = (folder / "a.txt").read_text() + (folder / "b.txt").read_text()
    (folder / "b.txt").unlink()
    (folder / "a.txt").write_text(text)
    assert sides(corpus(folder, share=0.1)) == before


def test_a_greater_share_only_adds_documents(folder):
    small = set(sides(corpus(folder, share=0.05))["validation"])
    assert small < set(sides(corpus(folder, share=0.06))["validation"])


@settings(max_examples=50)
@given(
    count=st.integers(2, 12),
    share=st.sampled_from([1e-6, 0.01, 0.5, 0.99, 1 - 1e-6]),
    seed=st.integers(0, 2**63 - 1),
)
def test_even_the_smallest_corpus_has_both_sides(tmp_path_factory, count, share, seed):
    folder = tmp_path_factory.mktemp("text")
    (folder / "a.txt").write_text("".join(f"d{n}\n" for n in range(count)))
    found = sides(corpus(folder, share=share, seed=seed))
    assert found["train"] and found["validation"]
    assert len(found["train"]) + len(found["validation"]) == count


@pytest.mark.parametrize(("text", "message"), [("only\n", "only 1 document"), ("\n", "no text")])
def test_too_few_documents_to_share_are_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(UserError, match=f"data.train: {message}.* data.validation.files"):
        sides(corpus(tmp_path, share=0.5))


def test_files_can_be_held_out_whole_even_if_the_training_pattern_names_them(folder):
    found = sides(corpus(folder, files=["pvc://text/b.txt"]))
    assert found["train"] == [f"a{n}" for n in range(6000)]
    assert found["validation"] == [f"b{n}" for n in range(4000)]
    with pytest.raises(UserError, match="every file is held out"):
        corpus(folder, files=["pvc://text/*.txt"])
