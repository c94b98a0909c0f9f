"""Rules of the whole object in CEL: its name, and what may be edited once it has begun."""

from __future__ import annotations

from lmjob.api.names import MAX_JOB_NAME
from lmjob.api.spec.job import Metadata
from lmjob.crd.cel import Cel, all_of, any_of, literal, matches, said
from lmjob.crd.patterns import re2
from lmjob.crd.specschema import spec_keys
from lmtrainer.config.schema import fields

EDITABLE = frozenset({"suspend"})
"""Fields of a specification that may change at any time."""

_BEGUN = "has(oldSelf.status) && has(oldSelf.status.attempt) && oldSelf.status.attempt > 0"
_FROZEN = "cannot change once the first attempt has begun; delete the job and create it anew"


def job_rules() -> tuple[Cel, ...]:
    """The rules of an object as a whole."""
    return (_name(), _frozen())


def _name() -> Cel:
    rule = next(f.rule for f in fields(Metadata) if f.name == "name")
    assert rule.pattern
    pattern = re2(rule.pattern)
    return Cel(
        all_of(
            f"size(self.metadata.name) <= {MAX_JOB_NAME}",
            matches("self.metadata.name", pattern.text),
        ),
        f"{rule.pattern_help}; {rule.way_out}",
        field="metadata.name",
    )


def _frozen() -> Cel:
    """One rule for all fields, and first the specification as a whole: the server asks it at each
    write of the status as well, where a rule for each field was more than a third of its cost."""
    keys = [key for key in spec_keys() if key not in EDITABLE]
    changed = [f'{_same(key)} ? "" : {literal(key + " ")}' for key in keys]
    return Cel(
        any_of(f"!({_BEGUN})", "self.spec == oldSelf.spec", f"({all_of(*map(_same, keys))})"),
        expression=said("%s" * len(keys) + _FROZEN, *changed),
        field="spec",
        reason="FieldValueForbidden",
    )


def _same(key: str) -> str:
    new, old = f"self.spec.{key}", f"oldSelf.spec.{key}"
    return f"has({new}) == has({old}) && (!has({new}) || {new} == {old})"
