"""The CustomResourceDefinition as a document, and as the text of its file."""

from __future__ import annotations

import itertools
import json
from typing import Any

import yaml

from lmjob.api.names import GROUP, KIND, PLURAL, SHORT_NAME, SINGULAR, VERSION
from lmjob.crd.jobrules import job_rules
from lmjob.crd.schema import Schema, validated
from lmjob.crd.specschema import spec_schema
from lmjob.crd.status import status_schema

_WIDTH = 4096
_DEPTH = 13
_HEADER = "# Made from the classes of the specification by `make crd`; not to be edited by hand.\n"


def custom_resource() -> dict[str, Any]:
    """The CustomResourceDefinition of LMTrainingJob."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": job_schema()},
                }
            ],
        },
    }


def crd_file() -> str:
    """The same as YAML, ASCII only, without anchors."""
    plain = json.loads(json.dumps(custom_resource()))
    tree = yaml.representer.SafeRepresenter(default_flow_style=False, sort_keys=False)
    root = tree.represent_data(plain)
    _fold(root, 0)
    return _HEADER + yaml.serialize(root, Dumper=yaml.SafeDumper, width=_WIDTH)


def _fold(node: yaml.Node, depth: int) -> None:
    """Write what is nested deeply in one line: there, indentation would be most of the file."""
    if isinstance(node, yaml.CollectionNode):
        node.flow_style = depth >= _DEPTH
        inner = node.value
        for child in itertools.chain(*inner) if isinstance(node, yaml.MappingNode) else inner:
            _fold(child, depth + 1)


def job_schema() -> Schema:
    """The schema of a whole object."""
    schema = {
        "type": "object",
        "description": "A language model to be trained: the text, the model, how long, and where.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of the API."},
            "kind": {"type": "string", "description": "Kind of the object."},
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            "spec": {"description": "What the job shall do.", **spec_schema()},
            "status": status_schema(),
        },
    }
    return validated(schema, job_rules())


def _columns() -> list[dict[str, Any]]:
    ready = '.status.conditions[?(@.type=="Ready")]'
    return [
        _column("Status", f"{ready}.reason", "What the job does now."),
        _column("Stage", ".status.stage", "Stage of the job."),
        _column("Phase", ".status.progress.phase", "Phase of training."),
        _column("Step", ".status.progress.step", "Steps done in the phase.", "integer"),
        _column("Loss", ".status.progress.loss", "Training loss.", "number"),
        _column("ETA", ".status.progress.eta", "Until the stage is done."),
        _column("Restarts", ".status.restarts", "Faults charged to maxRestarts.", "integer"),
        _column("Age", ".metadata.creationTimestamp", "Since the job was made.", "date"),
        _wide("Tokens/s", ".status.progress.tokensPerSecond", "Real tokens a second.", "number"),
        _wide("Attempt", ".status.attempt", "Attempts begun.", "integer"),
        _wide("Message", f"{ready}.message", "Why the job does what it does."),
    ]


def _column(name: str, path: str, help: str, kind: str = "string") -> dict[str, Any]:
    return {"name": name, "type": kind, "description": help, "jsonPath": path}


def _wide(name: str, path: str, help: str, kind: str = "string") -> dict[str, Any]:
    """A column of `kubectl get -o wide`."""
    return {**_column(name, path, help, kind), "priority": 1}
