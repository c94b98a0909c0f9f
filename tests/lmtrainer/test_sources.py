"""Locations become files: the right ones, in a fixed order, never from outside a claim."""

import pytest

from lmtrainer.faults import UserError
from lmtrainer.text.sources import expand, folder


@pytest.fixture
def volume(tmp_path):
    root = tmp_path / "corpus"
    for name in ["b.txt", "a.txt", "notes.md", "wiki/c.txt", "wiki/deep/d.txt", ".secret.txt"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(volume, *locations):
    files = expand(locations, {"corpus": str(volume)})
    return [str(path.relative_to(volume.resolve())) for path in files]


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("pvc://corpus/a.txt", ["a.txt"]),
        ("pvc://corpus/*.txt", ["a.txt", "b.txt"]),
        ("pvc://corpus/[ab].txt", ["a.txt", "b.txt"]),
        ("pvc://corpus/?.*", ["a.txt", "b.txt"]),
        ("pvc://corpus/*", ["a.txt", "b.txt", "notes.md"]),
        ("pvc://corpus/**/*.txt", ["a.txt", "b.txt", "wiki/c.txt", "wiki/deep/d.txt"]),
        ("pvc://corpus/**/d.txt", ["wiki/deep/d.txt"]),
        ("pvc://corpus/wiki/**", ["wiki/c.txt", "wiki/deep/d.txt"]),
        ("pvc://corpus/*/c.txt", ["wiki/c.txt"]),
        ("pvc://corpus/wiki", ["wiki/c.txt", "wiki/deep/d.txt"]),
        ("pvc://corpus/.*.txt", [".secret.txt"]),
    ],
)
def test_a_location_names_files_as_in_a_shell(volume, location, expected):
    assert names(volume, location) == expected


def test_files_keep_the_order_of_the_locations_and_come_once(volume):
    assert names(volume, "pvc://corpus/b.txt", "pvc://corpus/*.txt") == ["b.txt", "a.txt"]


def test_a_plain_path_is_taken_from_the_working_folder(volume, monkeypatch):
    monkeypatch.chdir(volume)
    assert expand(["*.txt"], {}) == (volume / "a.txt", volume / "b.txt")
    assert expand([str(volume / "a.txt")], {}) == (volume / "a.txt",)


def test_the_sample_ships_with_the_package():
    (path,) = expand(["sample://jargon"], {})
    assert "hacker" in path.read_text("utf-8")
    with pytest.raises(UserError, match=r"sample://nosuch is no sample; known: jargon"):
        expand(["sample://nosuch"], {})
    with pytest.raises(UserError, match="is no sample"):
        expand(["sample://jargon/part"], {})


def test_a_pattern_without_files_says_what_is_there_instead(volume):
    with pytest.raises(UserError) as caught:
        expand(["pvc://corpus/*.txt", "pvc://corpus/wiki/*.csv"], {"corpus": str(volume)})
    assert str(caught.value) == (
        'data.train[1]: pvc://corpus/wiki/*.csv matches 0 files in volume "corpus" '
        '(2 entries seen in "wiki", first: c.txt, deep)'
    )
    with pytest.raises(UserError, match=r"validation.files\[0\]: .* \(0 entries seen\)"):
        (volume / "empty").mkdir()
        expand(["pvc://c"], {"c": str(volume / "empty")}, "data.validation.files")


def test_a_claim_without_a_folder_is_named_with_the_way_out(volume):
    with pytest.raises(UserError, match=r'volume "other" has no folder here; .*--mount other='):
        expand(["pvc://other/a.txt"], {"corpus": str(volume)})


@pytest.mark.parametrize(
    "location", ["pvc://corpus/link.txt", "pvc://corpus/*.txt", "pvc://corpus"]
)
def test_a_link_out_of_the_claim_is_refused(volume, tmp_path, location):
    (tmp_path / "outside.txt").write_text("private")
    (volume / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(UserError, match=r'outside.txt", outside volume "corpus"'):
        expand([location], {"corpus": str(volume)})


def test_a_folder_link_out_of_the_claim_is_refused(volume, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.txt").write_text("private")
    (volume / "way").symlink_to(tmp_path / "elsewhere")
    for location in ("pvc://corpus/way/x.txt", "pvc://corpus/way", "pvc://corpus/*/x.txt"):
        with pytest.raises(UserError, match='outside volume "corpus"'):
            expand([location], {"corpus": str(volume)})
    with pytest.raises(UserError, match=r'output.to: .* outside volume "corpus"'):
        folder("pvc://corpus/way/results", {"corpus": str(volume)}, "output.to")


def test_links_within_the_claim_are_followed_but_no_circle_is(volume):
    (volume / "again.txt").symlink_to("a.txt")
    (volume / "wiki" / "circle").symlink_to("..")
    assert names(volume, "pvc://corpus/again.txt") == ["a.txt"]
    assert names(volume, "pvc://corpus/wiki/**/*.txt") == ["wiki/c.txt", "wiki/deep/d.txt"]
    (volume / "self").symlink_to("self")
    with pytest.raises(UserError, match=r"self is a link to itself"):
        names(volume, "pvc://corpus/self")


def test_a_folder_is_found_before_it_is_made(volume):
    place = folder("pvc://corpus/new/run", {"corpus": str(volume)})
    assert place == volume.resolve() / "new" / "run"
    assert not place.exists()
    assert folder("pvc://corpus", {"corpus": str(volume)}) == volume.resolve()
