"""The schema of a specification: one object for both kinds of it, and rules in CEL that tell them
apart. A model is trained out of data, model and phases; a command is run in their place."""

from __future__ import annotations

from lmjob.api.spec import CommandSpec, JobSpec
from lmjob.crd.cel import Cel, all_of, any_of
from lmjob.crd.schema import Schema, object_schema
from lmtrainer.config.schema import fields

_VALIDATIONS = "x-kubernetes-validations"


def spec_keys() -> tuple[str, ...]:
    """Every field that a specification of either kind may have."""
    return tuple(dict.fromkeys(f.key for f in (*fields(JobSpec), *fields(CommandSpec))))


def spec_schema() -> Schema:
    """Both kinds as one object: the API server knows no other way that names the wrong field."""
    trained, run = object_schema(JobSpec), object_schema(CommandSpec)
    return {
        **trained,
        "properties": {**trained["properties"], "command": run["properties"]["command"]},
        "required": [key for key in trained["required"] if key in run["required"]],
        _VALIDATIONS: [
            *(rule.document() for rule in (*_needed(trained, run), _alone())),
            *(_guarded(rule) for rule in trained[_VALIDATIONS]),
        ],
    }


def _needed(trained: Schema, run: Schema) -> tuple[Cel, ...]:
    """What must be given where no command is."""
    rules = {f.key: f.rule for f in fields(JobSpec)}
    return tuple(
        Cel(
            f"has(self.command) || has(self.{key})",
            f"{rules[key].way_out}, or a command",
            field=key,
            reason="FieldValueRequired",
        )
        for key in trained["required"]
        if key not in run["required"]
    )


def _alone() -> Cel:
    own = {f.key for f in fields(CommandSpec)}
    others = [f"has(self.{f.key})" for f in fields(JobSpec) if f.key not in own]
    return Cel(
        any_of("!has(self.command)", f"!({any_of(*others)})"),
        "runs a program of your own, which reads nothing of the fields that describe a training; "
        "remove either",
        field="command",
        reason="FieldValueForbidden",
    )


def _guarded(rule: Schema) -> Schema:
    """Rules between the fields of a training hold where there is one."""
    there = all_of("has(self.data)", "has(self.model)", "has(self.phases)")
    return {**rule, "rule": f"!({there}) || ({rule['rule']})"}
