"""`lmtrainer segment NAME FILE... --to FOLDER`: text cut into words, with `<|>` between them.

Each line stays a line, each file keeps its name; a file appears whole, with the same bytes every
time and by any number of processes. A tokenizer trained with `segmenter: presplit` reads such text,
and so does the saved tokenizer of any other segmenter. In a program of your own:
`lmtrainer.text.segmenters.find(NAME)(text)`.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from lmtrainer.commands.running import carry_out

if TYPE_CHECKING:
    from lmtrainer.text.files import TextFile

Lines = list[tuple[str, str]]

BATCH = 1 << 16
"""Characters that a process cuts at once."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("segmenter", metavar="NAME", help="newmm, syllable or one of your own")
    parser.add_argument("files", nargs="+", metavar="FILE", help="files, folders, patterns")
    parser.add_argument("--to", required=True, metavar="FOLDER", help="for the files that are cut")
    parser.add_argument("--encoding", default="utf-8", help="of the files")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="that work at once")


def run(given: argparse.Namespace) -> int:
    """Cut all files."""
    return carry_out(lambda: _segment(given))


def _segment(given: argparse.Namespace) -> None:
    from lmtrainer.durable import make_folder, replace
    from lmtrainer.text.segmenters import find
    from lmtrainer.text.sources import expand

    find(given.segmenter)
    _check_encoding(given.encoding)
    target = Path(given.to).absolute()
    found = expand(given.files, {}, "FILE")
    files = {target / _name_of(file): file for file in found}
    _check(files, target, len(found))
    make_folder(target)
    with _workers(given.processes) as work:
        for path, file in files.items():
            batches = _batches(file, given.encoding)
            replace(path, work(functools.partial(_cut, given.segmenter), batches))
            print(path, flush=True)


def _check_encoding(name: str) -> None:
    from lmtrainer.faults import UserError

    try:
        codecs.lookup(name)
    except LookupError:
        raise UserError(f"--encoding: {name} is unknown; such as utf-8 or latin-1") from None


def _name_of(file: TextFile) -> str:
    """What a file is called once it is unpacked and cut. UserError if it is no plain text."""
    from lmtrainer.faults import UserError
    from lmtrainer.text.files import PACKED, form_of, is_gzip

    if form_of(file) != "text":
        raise UserError(f"{file}: is {form_of(file)}, no plain text; cut its texts beforehand")
    return file.name[: -len(PACKED)] if is_gzip(file) else file.name


def _check(files: Mapping[Path, TextFile], target: Path, number: int) -> None:
    from lmtrainer.faults import UserError

    if len(files) < number:
        raise UserError("FILE: several files have the same name; cut them into several folders")
    if any(isinstance(file, Path) and file.parent == target.resolve() for file in files.values()):
        raise UserError(f"--to: {target} holds the text itself; name another folder")


def _batches(file: TextFile, encoding: str) -> Iterator[Lines]:
    """Lines, some together, each with what stands before it: the break of the line before, or
    SEPARATOR between the parts of a line that is cut because nobody can hold it. UserError if the
    file is not text in that encoding."""
    from lmtrainer.text.decoding import decoded
    from lmtrainer.text.documents import cut_lines
    from lmtrainer.text.segmenters import SEPARATOR

    batch: Lines = []
    size = 0
    before = ""
    for line in cut_lines(decoded(file, encoding, lambda count: None)):
        batch.append((before, line.text))
        before = "\n" if line.ended else SEPARATOR
        size += len(line.text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def _cut(segmenter: str, lines: Lines) -> bytes:
    """In UTF-8."""
    cut = _segmenter(segmenter)
    return "".join(before + cut(line) for before, line in lines).encode()


@functools.cache
def _segmenter(name: str) -> Callable[[str], str]:
    from lmtrainer.text.segmenters import find

    return find(name)


Work = Callable[[Callable[[Lines], bytes], Iterable[Lines]], Iterator[bytes]]


@contextlib.contextmanager
def _workers(processes: int) -> Iterator[Work]:
    """A `map` over batches, in order, by so many processes, that never runs far ahead."""
    if processes <= 1:
        yield map
        return
    with ProcessPoolExecutor(processes) as pool:

        def work(act: Callable[[Lines], bytes], batches: Iterable[Lines]) -> Iterator[bytes]:
            waiting: deque[Future[bytes]] = deque()
            for batch in batches:
                waiting.append(pool.submit(act, batch))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        yield work
