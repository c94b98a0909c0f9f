"""The schema of a job's status: what `lmjob.core.report` tells, and the operator's memory.

It is wide on purpose. A status that the schema refuses, or cuts, would stop the operator, so there
are no bounds and no closed sets in it, and the memory keeps fields of newer versions.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory
from lmtrainer.config.schema import camel
from lmtrainer.contract.reports import Position

Schema = dict[str, Any]

# Class -> field -> what it is. A field that is not told here is described by its name.
_WORDS: Mapping[type, Mapping[str, str]] = types.MappingProxyType(
    {
        Fault: {
            "reason": "Kind of the fault, one word.",
            "replica": "Replica where it began, such as worker-0; left out, the whole group.",
            "exit_type": "How the replica's launcher ended.",
            "message": "What happened, for people.",
            "rank": "Rank over the whole group, if one process failed first.",
            "attempt": "Attempt that it ended.",
            "stage": "Stage that it ended.",
            "at": "When it was seen.",
            "disrupted": "True if the platform did it: never charged to maxRestarts.",
        },
        Position: {
            "phase_index": "Number of the phase, from 0.",
            "phase": "Name of the phase.",
            "step": "Optimizer steps done in the phase.",
        },
        Memory: {
            "version": "Version of this memory's form.",
            "attempt": "Attempt that was claimed last; 0 before the first.",
            "stage": "Stage that was claimed last.",
            "group": "State of the group of this attempt.",
            "restarts": "Faults charged to maxRestarts.",
            "retry_at": "Nothing of this attempt is created earlier. Unix time.",
            "outcome": "How the job ended, or that it rests.",
            "outcome_reason": "Why it ended so.",
            "last_fault": "What ended the last attempt that failed.",
            "durable": "Newest durable checkpoint that was noted.",
            "durable_at_fault": "What was durable at the last fault.",
            "kept_at_fault": "What was kept, beside checkpoints, at the last fault.",
            "lost_steps": "Optimizer steps done and not durable at faults, summed up.",
        },
    }
)

_TIME = {"type": "string", "format": "date-time"}
_SCALARS: Mapping[Any, Schema] = types.MappingProxyType(
    {
        str: {"type": "string"},
        bool: {"type": "boolean"},
        int: {"type": "integer", "format": "int64"},
        float: {"type": "number"},
    }
)


def status_schema() -> Schema:
    """The schema of `status`."""
    fault = _object(Fault, "What ended the last attempt that failed.")
    fault["properties"]["at"] = {**_TIME, "description": _WORDS[Fault]["at"]}
    memory = _object(Memory, "The operator's own claims; not for others. Times are Unix times.")
    memory["x-kubernetes-preserve-unknown-fields"] = True
    return {
        "type": "object",
        "description": "What the operator tells about the job.",
        "properties": {
            "observedGeneration": _int("Generation of the specification that was looked at last."),
            "stage": _text("Stage of the job: prepare, train or evaluate."),
            "attempt": _int("Attempts begun; 0 before the first."),
            "restarts": _int("Faults charged to failurePolicy.maxRestarts."),
            "lostSteps": _int("Optimizer steps done again after faults, summed up."),
            "planHash": _text("Hash of the frozen plan."),
            "startTime": {**_TIME, "description": "When the first attempt was begun."},
            "completionTime": {**_TIME, "description": "When the job ended for good."},
            "conditions": _conditions(),
            "progress": _progress(),
            "lastFault": fault,
            "memory": memory,
        },
    }


def _text(help: str) -> Schema:
    return {"type": "string", "description": help}


def _int(help: str) -> Schema:
    return {"type": "integer", "format": "int64", "description": help}


def _number(help: str) -> Schema:
    return {"type": "number", "description": help}


def _progress() -> Schema:
    place = {"phase": _text("Phase of training."), "step": _int("Steps done in the phase.")}
    return {
        "type": "object",
        "description": "How far the stage is, as its leader told last.",
        "properties": {
            "activity": _text("What is being done."),
            "unit": _text("What done and total count."),
            "done": _int("Units done in the stage."),
            "total": _int("Units of the whole stage."),
            **place,
            "loss": _number("Training loss of the last step."),
            "tokensPerSecond": _number("Real tokens per second over all ranks."),
            "etaSeconds": _number("Seconds until the stage is done."),
            "eta": _text("The same for people, such as 1h20m."),
            "durable": {
                "type": "object",
                "description": "Newest verified checkpoint.",
                "properties": place,
            },
        },
    }


def _conditions() -> Schema:
    """A list of metav1.Condition."""
    return {
        "type": "array",
        "description": "Complete, Failed, Suspended, MasterReady, WorkersReleased, and kstatus' "
        "Ready, Reconciling and Stalled.",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status"],
            "properties": {
                "type": _text("What is said."),
                "status": {
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                    "description": "Whether it holds.",
                },
                "reason": _text("Why, one word of a closed set."),
                "message": _text("Why, in a sentence."),
                "lastTransitionTime": {
                    **_TIME,
                    "description": "When the status of the condition changed last.",
                },
                "observedGeneration": _int("Generation that it was said of."),
            },
        },
    }


def _object(cls: type, help: str) -> Schema:
    kinds = typing.get_type_hints(cls)
    words = _WORDS.get(cls, {})
    return {
        "type": "object",
        "description": help,
        "properties": {
            camel(f.name): _value(kinds[f.name], words.get(f.name) or _spelled(f.name))
            for f in dataclasses.fields(cls)
        },
    }


def _spelled(name: str) -> str:
    """ "group_since" -> "Group since."."""
    return name.replace("_", " ").capitalize() + "."


def _value(kind: Any, help: str) -> Schema:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        (kind,) = (k for k in inner if k is not type(None))
        return _value(kind, help)
    if origin is Literal:
        return _text(help)
    if dataclasses.is_dataclass(kind):
        return _object(typing.cast(type, kind), help)
    if origin is tuple:
        return {"type": "array", "description": help, "items": _value(inner[0], "One of them.")}
    if origin is not None and issubclass(origin, Mapping):
        item = _value(inner[1], "One of them.")
        return {"type": "object", "description": help, "additionalProperties": item}
    return {**_SCALARS[kind], "description": help}
