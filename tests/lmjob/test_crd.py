"""The custom resource's definition: whole, described, of its size, and made from the classes."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from lmjob.api.spec import CommandSpec, JobSpec, parse_job
from lmjob.core.memory import Memory
from lmjob.crd import crd_file, custom_resource
from lmjob.crd.status import status_schema
from lmtrainer.config import document
from lmtrainer.config.schema import fields, refusals
from tests.lmjob.every_field import MEMORY, VALID, every_status

ROOT = Path(__file__).parents[2]
FILE = ROOT / "manifests/crd/lmtrainingjobs.yaml"
MOST_BYTES = 262_144
"""Of all annotations of an object: `kubectl apply` keeps the object it applied in one."""

Schema = Mapping[str, Any]


def schema_of(*names: str) -> Schema:
    (version,) = custom_resource()["spec"]["versions"]
    place: Schema = version["schema"]["openAPIV3Schema"]
    for name in names:
        place = place["properties"][name]
    return place


def inside(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema of a schema, with its path."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from inside(inner, f"{path}.{name}")
    for name in ("items", "additionalProperties"):
        if name in schema:
            yield from inside(schema[name], f"{path}[]")


def faults(schema: Schema, value: Any, path: str = "") -> Iterator[str]:
    """What of a value a structural schema refuses, or would prune."""
    kinds = (int, str) if "type" not in schema else KINDS[schema["type"]]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        yield f"{path}: {value!r} is no {schema.get('type')}"
    elif "properties" in schema:
        missing = set(schema.get("required", ())) - set(value)
        yield from (f"{path}.{name} is missing" for name in missing)
        yield from (f"{path}.{name} is unknown" for name in set(value) - set(schema["properties"]))
        for name in set(value) & set(schema["properties"]):
            yield from faults(schema["properties"][name], value[name], f"{path}.{name}")
    elif isinstance(value, dict | list):
        item = schema["additionalProperties" if isinstance(value, dict) else "items"]
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from faults(item, inner, f"{path}[{name}]")
    elif not _within(schema, value):
        yield f"{path}: {value!r} is out of bounds"


KINDS: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}


def _within(schema: Schema, value: Any) -> bool:
    if "enum" in schema:
        return value in schema["enum"]
    if isinstance(value, str):
        return len(value) <= schema.get("maxLength", len(value))
    low, high = schema.get("minimum", value), schema.get("maximum", value)
    on_low = value == low and schema.get("exclusiveMinimum", False)
    on_high = value == high and schema.get("exclusiveMaximum", False)
    return low <= value <= high and not on_low and not on_high


def test_the_file_is_what_the_classes_make():
    assert FILE.read_text() == crd_file(), "run `make crd`"
    assert yaml.safe_load(crd_file()) == json.loads(json.dumps(custom_resource()))


def test_it_is_small_enough_for_kubectl_apply():
    assert len(crd_file().encode()) < MOST_BYTES
    assert len(json.dumps(custom_resource(), separators=(",", ":")).encode()) < MOST_BYTES


def test_every_field_is_described():
    bare = [
        path
        for path, schema in inside(schema_of())
        if not schema.get("description") and not path.endswith("[]") and ".metadata" not in path
    ]
    assert not bare


def test_nothing_is_defaulted():
    assert [path for path, schema in inside(schema_of()) if "default" in schema] == []


def test_every_list_object_and_text_of_a_specification_is_bounded():
    """Or the API server cannot tell what a rule in CEL may cost."""
    needed = {"array": "maxItems", "string": "maxLength"}
    for path, schema in inside(schema_of("spec")):
        if "enum" not in schema:
            assert needed.get(schema.get("type", "")) in {None, *schema}, path
        if "additionalProperties" in schema:
            assert "maxProperties" in schema, path


@pytest.mark.parametrize("name", VALID)
def test_valid_jobs_fit_the_schema(name):
    job = parse_job(VALID[name])
    assert list(faults(schema_of("spec"), VALID[name]["spec"])) == []
    assert list(faults(schema_of("spec"), document(job.spec))) == []


def test_the_valid_jobs_of_these_tests_give_every_field():
    def given(value: Any, path: str) -> Iterator[str]:
        yield path
        if isinstance(value, dict | list):
            several = value.items() if isinstance(value, dict) else enumerate(value)
            for name, inner in several:
                yield from given(
                    inner, f"{path}.{name}" if isinstance(value, dict) else f"{path}[]"
                )

    found = {path for job in VALID.values() for path in given(job["spec"], "")}
    wanted = {path for path, _ in inside(schema_of("spec")) if not path.endswith("[]")}
    assert wanted <= found, sorted(wanted - found)


def compared(cls: type, schema: Schema, path: str) -> Iterator[tuple[str, type, Schema]]:
    """Every settings class with its schema."""
    yield path, cls, schema
    for f in fields(cls):
        for inner, place in reached(f.kind, schema["properties"][f.key]):
            yield from compared(inner, place, f"{path}.{f.key}")


def reached(kind: Any, schema: Schema) -> Iterator[tuple[type, Schema]]:
    if dataclasses.is_dataclass(kind):
        yield typing.cast(type, kind), schema
    for inner in typing.get_args(kind):
        yield from reached(inner, schema.get("items", schema))


def test_fields_names_and_words_are_those_of_the_classes():
    seen = 0
    for path, cls, schema in compared(JobSpec, schema_of("spec"), "spec"):
        keys, must = [f.key for f in fields(cls)], [f.key for f in fields(cls) if f.must]
        if cls is JobSpec:  # with what a job may say in place of a training
            keys, must = [*keys, "command"], ["output"]
        assert list(schema["properties"]) == keys, path
        assert schema.get("required", []) == must, path
        assert not set(refusals(cls)) & set(schema["properties"]), path
        for f in fields(cls):
            kinds = [f.kind, *typing.get_args(f.kind)]
            words = [typing.get_args(kind) for kind in kinds if typing.get_origin(kind) is Literal]
            place = schema["properties"][f.key]
            if words and int not in kinds:
                assert place["enum"] == list(words[0]), f"{path}.{f.key}"
                seen += 1
    assert seen > 20


def test_a_command_has_the_same_fields_as_a_training_and_itself():
    schema = schema_of("spec")
    for f in fields(CommandSpec):
        for inner, place in reached(f.kind, schema["properties"][f.key]):
            assert list(place["properties"]) == [g.key for g in fields(inner)], f.key
    assert set(refusals(CommandSpec)) >= {"data", "model", "phases", "evaluate", "checkpoint"}


def test_rules_of_a_training_are_asked_of_a_training_only():
    """A rule that reads a field which is not there is an error of the API server's."""
    rules = schema_of("spec")["x-kubernetes-validations"]
    needed = [rule for rule in rules if rule.get("reason") == "FieldValueRequired"]
    assert [rule["fieldPath"] for rule in needed] == [".data", ".model", ".phases"]
    for rule in rules:
        text = rule["rule"]
        alone = text.startswith(("has(self.command) ||", "!has(self.command) ||"))
        guard = "!(has(self.data) && has(self.model) && has(self.phases)) || ("
        assert alone or text.startswith(guard), text


def test_everything_that_a_status_says_is_known_to_the_schema(plan_of):
    """What it does not know, an API server prunes: a claim of the memory, for instance."""
    assert all(value is not None for value in vars(MEMORY).values())
    assert list(faults(status_schema(), every_status(plan_of()))) == []
    assert not set(status_schema()["properties"]) - set(every_status(plan_of()))


def test_the_memory_has_its_fields_in_the_schema_and_keeps_those_of_newer_versions():
    schema = schema_of("status", "memory")
    assert len(schema["properties"]) == len(dataclasses.fields(Memory))
    assert schema["x-kubernetes-preserve-unknown-fields"] is True


def test_no_status_is_refused_for_a_word_or_a_bound():
    """An older schema must not stop a newer operator."""
    closed = [
        path
        for path, schema in inside(schema_of("status"))
        if {"enum", "minimum", "maximum", "maxLength", "pattern"} & set(schema)
    ]
    assert closed == [".conditions[].status"]
