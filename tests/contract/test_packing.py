"""A copy is what was sent, under its name, or it is not there: streams that are cut, changed, or
made to do harm."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest

from lmtrainer.contract.packing import ROOT, SUMMARY, Tally, TreeError, pack
from lmtrainer.contract.unpacking import landing, unpack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("one")
    (folder / "sub" / "b").write_bytes(b"\0" * 100_000)
    (folder / "sub" / "link").symlink_to("../a")
    return folder


@pytest.fixture
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def packed(path: Path) -> bytes:
    stream = io.BytesIO()
    pack(path, stream)
    return stream.getvalue()


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_both_ends_tell_the_same_of_the_same(source: Path, there: Path) -> None:
    stream = io.BytesIO()
    sent = pack(source, stream)
    stream.seek(0)
    assert unpack(stream, there / "copy") == sent
    assert (sent.files, sent.folders, sent.size) == (3, 2, 100_003)
    assert names(there / "copy") == names(source)


def test_a_link_is_not_taken_for_a_file(source: Path) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    (source / "x").symlink_to(empty)
    link = pack(source, io.BytesIO())
    (source / "x").unlink()
    (source / "x").touch()
    assert pack(source, io.BytesIO()).sha256 != link.sha256


@pytest.mark.parametrize("change", ["name", "content", "target"])
def test_the_sha256_is_of_names_contents_and_links(source: Path, change: str) -> None:
    before = pack(source, io.BytesIO())
    if change == "name":
        (source / "a").rename(source / "c")
        (source / "sub" / "link").unlink()
        (source / "sub" / "link").symlink_to("../a")
    if change == "content":
        (source / "a").write_text("two")
    if change == "target":
        (source / "sub" / "link").unlink()
        (source / "sub" / "link").symlink_to("b")
    after = pack(source, io.BytesIO())
    assert (after.files, after.folders, after.size) == (before.files, before.folders, before.size)
    assert after.sha256 != before.sha256


def test_a_stream_cut_anywhere_leaves_nothing(source: Path, there: Path) -> None:
    whole = packed(source)
    end = whole.rindex(b'"sha256"')
    for length in [*range(0, end, 4096), end]:
        with pytest.raises(TreeError, match="cut"):
            unpack(io.BytesIO(whole[:length]), there / "copy")
        assert names(there) == []


def test_a_flipped_bit_leaves_nothing(source: Path, there: Path) -> None:
    whole = bytearray(packed(source))
    whole[whole.index(b"one")] ^= 1
    with pytest.raises(TreeError, match="not what was sent"):
        unpack(io.BytesIO(whole), there / "copy")
    assert names(there) == []


def test_a_cut_stream_leaves_what_was_there(source: Path, there: Path) -> None:
    (there / "copy").mkdir()
    (there / "copy" / "a").write_text("old")
    with pytest.raises(TreeError):
        unpack(io.BytesIO(packed(source)[:50_000]), there / "copy")
    assert names(there) == ["copy", "copy/a"]
    assert (there / "copy" / "a").read_text() == "old"


def test_a_folder_that_is_there_keeps_what_else_it_has(source: Path, there: Path) -> None:
    (there / "sub").mkdir()
    (there / "sub" / "kept").touch()
    (there / "a").write_text("old")
    unpack(io.BytesIO(packed(source)), there)
    assert names(there) == ["a", "sub", "sub/b", "sub/kept", "sub/link"]
    assert (there / "a").read_text() == "one"


def test_what_does_not_fit_changes_nothing(source: Path, there: Path) -> None:
    (there / "sub" / "b").mkdir(parents=True)
    (there / "a").write_text("old")
    with pytest.raises(TreeError, match="cannot put a file in the place of a folder"):
        unpack(io.BytesIO(packed(source)), there)
    assert (there / "a").read_text() == "old"
    assert names(there) == ["a", "sub", "sub/b"]


def test_a_folder_that_is_a_link_is_not_followed(source: Path, there: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (there / "sub").symlink_to("../elsewhere")
    with pytest.raises(TreeError, match="link to a folder"):
        unpack(io.BytesIO(packed(source)), there)
    assert names(tmp_path / "elsewhere") == []


def test_a_file_that_is_a_link_is_replaced_not_followed(there: Path, tmp_path: Path) -> None:
    (tmp_path / "new").write_text("new")
    (tmp_path / "other").write_text("other")
    (there / "x").symlink_to("../other")
    unpack(io.BytesIO(packed(tmp_path / "new")), there / "x")
    assert (there / "x").read_text() == "new"
    assert (tmp_path / "other").read_text() == "other"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    info.size = 1 if kind == tarfile.REGTYPE else 0
    return info


FOLDER = member(ROOT, tarfile.DIRTYPE)

HARM = {
    "above": [FOLDER, member(f"{ROOT}/../x")],
    "far above": [FOLDER, member("../x")],
    "absolute": [FOLDER, member("/tmp/lmtrainer-test-x")],
    "absolute inside": [FOLDER, member(f"{ROOT}//tmp/x")],
    "another root": [FOLDER, member("other")],
    "hard link": [FOLDER, member(f"{ROOT}/x", tarfile.LNKTYPE, "/etc/passwd")],
    "device": [FOLDER, member(f"{ROOT}/x", tarfile.CHRTYPE)],
    "pipe": [FOLDER, member(f"{ROOT}/x", tarfile.FIFOTYPE)],
    "link out": [FOLDER, member(f"{ROOT}/x", tarfile.SYMTYPE, "../../x")],
    "link beside": [FOLDER, member(f"{ROOT}/x", tarfile.SYMTYPE, "../y")],
    "absolute link": [FOLDER, member(f"{ROOT}/x", tarfile.SYMTYPE, "/etc")],
    "link chain": [
        FOLDER,
        member(f"{ROOT}/s", tarfile.DIRTYPE),
        member(f"{ROOT}/s/up", tarfile.SYMTYPE, ".."),
        member(f"{ROOT}/x", tarfile.SYMTYPE, "s/up/../y"),
    ],
    "root is a link": [member(ROOT, tarfile.SYMTYPE, "/etc")],
}


@pytest.mark.parametrize("members", HARM.values(), ids=HARM.keys())
def test_a_stream_that_would_do_harm_is_refused(
    members: list[tarfile.TarInfo], there: Path
) -> None:
    with pytest.raises(TreeError):
        unpack(io.BytesIO(forged(members)), there / "deep" / "copy")
    assert names(there) == ["deep"]
    assert not Path("/tmp/lmtrainer-test-x").exists()


def test_a_file_behind_a_link_is_not_written_through_it(there: Path) -> None:
    behind = [FOLDER, member(f"{ROOT}/l", tarfile.SYMTYPE, "."), member(f"{ROOT}/l/x")]
    with pytest.raises((TreeError, OSError)):
        unpack(io.BytesIO(forged(behind)), there / "copy")
    assert names(there) == []


def test_a_name_that_comes_twice_is_refused(there: Path) -> None:
    twice = [FOLDER, member(f"{ROOT}/x"), member(f"{ROOT}/x")]
    with pytest.raises(OSError, match="exists"):
        unpack(io.BytesIO(forged(twice)), there / "copy")
    assert names(there) == []


def forged(members: list[tarfile.TarInfo]) -> bytes:
    """A stream of these members with the summary that would be right for them."""
    tally, stream = Tally(), io.BytesIO()
    words = {tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "link"}
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for info in members:
            archive.addfile(info, io.BytesIO(b"x"))
            content = info.linkname or hashlib.sha256(b"x").hexdigest()
            kind = words.get(info.type, "file")
            tally.add(kind, info.name, size=info.size, content="" if kind == "folder" else content)
        text = tally.summary().text()
        last = tarfile.TarInfo(SUMMARY)
        last.size = len(text)
        archive.addfile(last, io.BytesIO(text))
    return stream.getvalue()


def test_the_forger_of_these_tests_makes_streams_that_are_right(there: Path) -> None:
    good = [FOLDER, member(f"{ROOT}/x"), member(f"{ROOT}/l", tarfile.SYMTYPE, "x")]
    unpack(io.BytesIO(forged(good)), there / "copy")
    assert names(there / "copy") == ["l", "x"]


@pytest.mark.parametrize("target", ["../there", "/etc/passwd", "sub/../../there"])
def test_a_link_out_of_what_is_copied_is_refused(source: Path, there: Path, target: str) -> None:
    (source / "out").symlink_to(target)
    with pytest.raises(TreeError, match=f"is a link to {target}, out of what is copied"):
        pack(source, io.BytesIO())


def test_a_pipe_is_refused_and_not_waited_for(source: Path) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(TreeError, match="pipe: is neither a file nor a folder nor a link"):
        pack(source, io.BytesIO())


def test_rights_are_plain(tmp_path: Path, there: Path) -> None:
    (tmp_path / "x").write_text("x")
    (tmp_path / "x").chmod(0o4777)
    unpack(io.BytesIO(packed(tmp_path / "x")), there / "x")
    assert (there / "x").stat().st_mode & 0o7022 == 0
    assert (there / "x").stat().st_mode & 0o700 == 0o700


def test_a_copy_lands_where_cp_r_puts_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    assert landing(tmp_path / "new", "a") == tmp_path / "new"
    assert landing(tmp_path / "new", "a", into=True) == tmp_path / "new" / "a"
    assert landing(tmp_path / "folder", "a") == tmp_path / "folder" / "a"
    assert landing(tmp_path / "folder", ".") == tmp_path / "folder"
    assert landing(tmp_path / "link", "a") == tmp_path / "folder" / "a"
