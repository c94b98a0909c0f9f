"""YAML text -> plain values, without surprises: no duplicate keys, no tags that make objects, no
document that grows when its aliases are followed. Every refusal has a line and a column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from lmjob.api.yamlscalars import plain_scalar, tagged_scalar

MAX_DEPTH = 64
MAX_NODES = 100_000
"""Values of a document, those behind an alias counted each time."""
MAX_ALIASES = 1000

_MERGE = object()
_SURROGATE = re.compile("[\ud800-\udfff]")


class JobFileError(ValueError):
    """A file that cannot be read as one document; the message says where and why."""


def read_yaml(text: str) -> Any:
    """The one document in `text`, None if it is empty. JobFileError if it cannot be read."""
    try:
        return _Tree(yaml.parse(text, Loader=yaml.SafeLoader)).documents()
    except yaml.MarkedYAMLError as fault:
        raise _marked(fault) from fault
    except yaml.reader.ReaderError as fault:
        before = text[: fault.position]
        column = len(before) - before.rfind("\n")
        rule = f"the character U+{int(fault.character):04X} is not allowed in YAML"
        raise at(before.count("\n") + 1, column, rule) from fault


def at(line: int, column: int, rule: str) -> JobFileError:
    """An error at a place, counted from 1."""
    return JobFileError(f"line {line}, column {column}: {rule}")


def _marked(fault: yaml.MarkedYAMLError) -> JobFileError:
    mark = fault.problem_mark or fault.context_mark
    rule = f"{fault.problem or fault.context}"
    if mark is None:
        return JobFileError(rule)
    if "'\\t'" in rule:
        rule = "a tab stands where YAML allows only spaces; replace it with spaces"
    return at(mark.line + 1, mark.column + 1, rule)


def _here(event: Event, rule: str) -> JobFileError:
    mark = event.start_mark
    assert mark is not None
    return at(mark.line + 1, mark.column + 1, rule)


class _Tree:
    """Builds values from parser events; knows anchors, and how much it has built."""

    def __init__(self, events: Iterator[Event]) -> None:
        self._events = events
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._open: set[str] = set()
        self._nodes = 0
        self._aliases = 0

    def documents(self) -> Any:
        """The only document that is not empty."""
        found: Any = None
        for event in self._events:
            if isinstance(event, StreamEndEvent):
                break
            if not isinstance(event, DocumentStartEvent):
                continue
            if event.version or event.tags:
                raise _here(event, "directives such as %YAML are not read; remove the line")
            value = self._value(next(self._events), 0)
            if found is not None and value is not None:
                rule = "a second document begins here; put each job into a file of its own"
                raise _here(event, rule)
            found = value if found is None else found
        return found

    def _value(self, event: Event, depth: int) -> Any:
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._count(event, 1)
        if depth > MAX_DEPTH:
            raise _here(event, f"is nested deeper than {MAX_DEPTH} levels")
        before, anchor = self._nodes, event.anchor  # type: ignore[attr-defined]
        if anchor:
            self._open.add(anchor)
        if isinstance(event, ScalarEvent):
            value: Any = _scalar(event)
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(event, depth)
        else:
            assert isinstance(event, MappingStartEvent)
            value = self._mapping(event, depth)
        if anchor:
            self._open.discard(anchor)
            self._anchors[anchor] = (value, self._nodes - before + 1)
        return value

    def _count(self, event: Event, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise _here(event, f"the document has more than {MAX_NODES} values, aliases followed")

    def _alias(self, event: AliasEvent) -> Any:
        self._aliases += 1
        if self._aliases > MAX_ALIASES:
            raise _here(event, f"more than {MAX_ALIASES} aliases")
        if event.anchor in self._open:
            raise _here(event, f"the anchor {event.anchor} contains itself")
        if event.anchor not in self._anchors:
            raise _here(event, f"the anchor {event.anchor} is not defined before")
        value, size = self._anchors[event.anchor]
        self._count(event, size)
        return value

    def _sequence(self, start: SequenceStartEvent, depth: int) -> list[Any]:
        _refuse_tag(start, "seq")
        items = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, depth + 1))
        return items

    def _mapping(self, start: MappingStartEvent, depth: int) -> dict[str, Any]:
        _refuse_tag(start, "map")
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event, depth)
            value = self._value(next(self._events), depth + 1)
            if key is _MERGE:
                if merged or own:
                    raise _here(event, "<< must be the first key, and stand once")
                merged = _merged(event, value)
            elif key in own:
                raise _here(event, f'the key "{key[:60]}" stands twice in this object')
            else:
                own[key] = value
        return {**merged, **own}

    def _key(self, event: Event, depth: int) -> Any:
        if isinstance(event, ScalarEvent) and event.value == "<<" and event.implicit[0]:
            return _MERGE
        value = self._value(event, depth + 1)
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(event, ScalarEvent):
            raise _here(event, "a key must be text")
        means = "true" if value is True else "false" if value is False else "no text"
        raise _here(event, f"the key {event.value[:40]} means {means}; put it in quotes")


def _merged(event: Event, value: Any) -> dict[str, Any]:
    """What `<<` stands for; of several objects the first one with a key wins."""
    sources = value if isinstance(value, list) else [value]
    if not all(isinstance(source, dict) for source in sources):
        raise _here(event, "<< takes an object, or a list of objects")
    return {key: item for source in reversed(sources) for key, item in source.items()}


def _scalar(event: ScalarEvent) -> Any:
    try:
        if event.tag is not None:
            value = tagged_scalar(event.tag, event.value)
        else:
            value = plain_scalar(event.value) if event.implicit[0] else event.value
    except ValueError as fault:
        raise _here(event, str(fault)) from fault
    if isinstance(value, float) and not math.isfinite(value):
        raise _here(event, f"{event.value} is not a number that Kubernetes can keep")
    if isinstance(value, str) and _SURROGATE.search(value):
        raise _here(event, "half a character; write the character itself")
    return value


def _refuse_tag(event: SequenceStartEvent | MappingStartEvent, kind: str) -> None:
    if event.tag not in (None, "!", f"tag:yaml.org,2002:{kind}"):
        raise _here(event, "tags are not read; remove it")
