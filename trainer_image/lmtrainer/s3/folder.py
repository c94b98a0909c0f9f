"""The objects below one prefix of a bucket: listed, read, written, proven."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from lmtrainer.config.hashing import fingerprint
from lmtrainer.config.mistakes import show
from lmtrainer.config.sources import parse_location
from lmtrainer.durable import FileFact
from lmtrainer.s3.asking import ask, is_missing
from lmtrainer.s3.reach import file_system

PART = 8 << 20
"""Bytes of a part of a large object, and of a block that is read back."""

AT_ONCE = 4
"""Parts that are on their way, and in memory, at the same time."""

MAX_PARTS = 9_000
"""Of one object; S3 takes 10,000."""

MAX_KEY = 1024
"""Bytes of an object's whole name."""

SHA256, PLACE = "sha256", "place"
"""Names of the facts that each object of ours carries in its metadata: of what it holds, and of the
prefix and the name that it was sent to. One that somebody has copied elsewhere is not ours."""

Tell = Callable[[int], None]
"""Called with how many bytes of a file are done so far; may raise to give up."""

T = TypeVar("T")


class Folder:
    """A prefix of a bucket. `field` is that of the specification, for messages."""

    def __init__(self, url: str, field: str) -> None:
        place = parse_location(url)
        self.url, self.field = str(place), field
        self._bucket, self._prefix = place.authority, f"{place.path}/"
        self._system = file_system(url, field)

    def mistakes(self, name: str) -> Iterator[str]:
        """Why no object can have this name; none if one can."""
        try:
            size = len(self._key(name).encode())
        except UnicodeEncodeError:
            yield f"the name {name!r} is not UTF-8"
            return
        if size > MAX_KEY:
            yield f"the name of {show(name)} has {size} bytes there, more than {MAX_KEY}"

    def names(self) -> dict[str, int]:
        """Every object and its size in bytes."""
        return {
            found["Key"].removeprefix(self._prefix): found["Size"]
            for page in self._pages()
            for found in page.get("Contents", ())
        }

    def first(self) -> str | None:
        """The name of some object, if there is one: not the empty one that stands for the prefix
        itself where a tool has made a folder of it."""
        answer = self._call("list_objects_v2", Prefix=self._prefix, MaxKeys=2)
        names = (found["Key"].removeprefix(self._prefix) for found in answer.get("Contents", ()))
        return next(filter(None, names), None)

    def read(self, name: str) -> bytes | None:
        """A small object; None if there is none."""
        return self._known(lambda: bytes(self._system.cat_file(self._path(name))))

    def write(self, name: str, content: bytes) -> None:
        """A small object, in the place of the one that had its name."""
        kind = "application/json"
        self._call("put_object", Key=self._key(name), Body=content, ContentType=kind)

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        self._call("delete_object", Key=self._key(name))

    def fact(self, name: str) -> FileFact | None:
        """What an object says of itself; None if there is none, or none that was sent to this name
        of this prefix: there may be prefixes of others below it."""
        answer = self._known(lambda: self._raw("head_object", Key=self._key(name)))
        told = (answer or {}).get("Metadata", {})
        if answer is None or SHA256 not in told or told.get(PLACE) != self._place(name):
            return None
        return FileFact(size=answer["ContentLength"], sha256=told[SHA256])

    def upload(self, path: Path, name: str, fact: FileFact, tell: Tell) -> None:
        """Send a file, which appears whole or not at all."""
        from fsspec.callbacks import Callback

        part = max(PART, -(-fact.size // MAX_PARTS))

        def send() -> None:
            sent = Callback(hooks={"bytes": lambda size, value, **_: tell(value)})
            options = {"chunksize": part, "max_concurrency": AT_ONCE, "Metadata": metadata}
            self._system.put_file(str(path), self._path(name), callback=sent, **options)

        metadata = {SHA256: fact.sha256, PLACE: self._place(name)}
        self._ask(send)

    def measure(self, name: str, tell: Tell) -> FileFact:
        """Size and sha256 of an object, read from end to end."""

        def read() -> FileFact:
            digest, size = hashlib.sha256(), 0
            self._system.invalidate_cache()
            options = {"block_size": PART, "cache_type": "readahead"}
            with self._system.open(self._path(name), "rb", **options) as source:
                while block := source.read(PART):
                    digest.update(block)
                    size += len(block)
                    tell(size)
            return FileFact(size=size, sha256=digest.hexdigest())

        return self._ask(read)

    def abandon_uploads(self, names: Iterable[str]) -> None:
        """Give up what a dead writer left half sent of these: no listing shows it, but it is paid
        for. Not everybody may, and then it stays."""
        keys = {self._key(name) for name in names}
        try:
            answer = self._raw("list_multipart_uploads", Prefix=self._prefix)
            for found in answer.get("Uploads", ()):
                if (key := found["Key"]) in keys:
                    self._raw("abort_multipart_upload", Key=key, UploadId=found["UploadId"])
        except OSError as fault:
            print(f"{self.url}: unfinished uploads are left there: {fault}", flush=True)

    def _pages(self) -> Iterator[Any]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=self._prefix, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _known(self, act: Callable[[], T]) -> T | None:
        def tried() -> T | None:
            try:
                return act()
            except OSError as fault:
                if is_missing(fault):
                    return None
                raise

        return self._ask(tried)

    def _call(self, method: str, **options: Any) -> Any:
        return self._ask(lambda: self._raw(method, **options))

    def _raw(self, method: str, **options: Any) -> Any:
        return self._system.call_s3(method, Bucket=self._bucket, **options)

    def _ask(self, act: Callable[[], T]) -> T:
        return ask(act, self.field, self.url)

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _place(self, name: str) -> str:
        return fingerprint([self._prefix, name])

    def _path(self, name: str) -> str:
        return f"{self._bucket}/{self._key(name)}"
