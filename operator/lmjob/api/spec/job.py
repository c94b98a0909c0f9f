"""The specification of a job. `parse_job` is the only door from a document to values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from lmjob.api.names import API_VERSION, KIND, MAX_JOB_NAME, Role
from lmjob.api.spec.group import group_mistakes
from lmjob.api.spec.placement import Placement
from lmjob.api.spec.pods import PodFields
from lmjob.api.spec.refusals import REFUSED_JOB_FIELDS
from lmjob.api.spec.roles import EvaluateRole, PrepareRole
from lmjob.api.spec.syntax import NAMESPACE, NAMESPACE_HELP
from lmtrainer.config import CommandConfig, Mistake, RunConfig, parse
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.config.schema import fields, required, setting


@dataclass(frozen=True, kw_only=True)
class JobSpec(Placement, RunConfig):
    """All that a user says about training a model: the trainer's configuration, and where and how
    it runs."""

    refused: ClassVar[Mapping[str, str]] = REFUSED_JOB_FIELDS

    prepare: PrepareRole = setting(
        PrepareRole, "the pods that make tokenizer and dataset; no devices unless asked for here"
    )
    evaluate: EvaluateRole = setting(
        EvaluateRole, "what is measured, and its pod; one device of each kind unless asked for more"
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        yield from group_mistakes(self, self.phases)

    @property
    def blocks(self) -> Mapping[Role, PodFields]:
        return {**super().blocks, "prepare": self.prepare, "evaluate": self.evaluate}

    def run(self) -> RunConfig:
        """The part that the trainer reads."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig)}
        looks = {f.name: getattr(self.evaluate, f.name) for f in dataclasses.fields(EvaluateConfig)}
        return RunConfig(**values | {"evaluate": EvaluateConfig(**looks)})


_NOT_READ = "spec.command runs a program of your own, which does not read it; remove either"


@dataclass(frozen=True, kw_only=True)
class CommandSpec(Placement, CommandConfig):
    """All that a user says about running a program of the user's own in a group."""

    refused: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            **REFUSED_JOB_FIELDS,
            **{
                f.key: _NOT_READ
                for f in fields(JobSpec)
                if f.key not in {own.key for own in (*fields(Placement), *fields(CommandConfig))}
            },
        }
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        yield from group_mistakes(self, ())

    def run(self) -> CommandConfig:
        """The part that the launcher reads."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(CommandConfig)}
        return CommandConfig(**values)


Spec = JobSpec | CommandSpec


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What is read of an object's metadata; the rest is Kubernetes' own business."""

    name: str = required(
        "name of the job",
        pattern=rf"[a-z]([-a-z0-9]{{0,{MAX_JOB_NAME - 2}}}[a-z0-9])?",
        pattern_help=f"must be at most {MAX_JOB_NAME} lower-case letters, digits and '-', "
        "beginning with a letter",
        way_out="names of pods and services are made from it and must fit 63 characters",
    )
    namespace: str = setting(
        "default", "namespace of the job", pattern=NAMESPACE, pattern_help=NAMESPACE_HELP
    )
    uid: str | None = setting(None, "given by Kubernetes")


@dataclass(frozen=True, kw_only=True)
class LMTrainingJob:
    """The whole document."""

    api_version: Literal["lmtraining.dev/v1alpha1"] = required(
        "version of the API", way_out=f"write apiVersion: {API_VERSION}"
    )
    kind: Literal["LMTrainingJob"] = required("kind of the object", way_out=f"write kind: {KIND}")
    metadata: Metadata = required("about the job", way_out="write metadata: {name: my-job}")
    spec: JobSpec | CommandSpec = required(
        "what the job shall do", way_out="give spec.data, spec.model, spec.phases and spec.output"
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that a backend can be asked to run."""

    name: str
    namespace: str
    uid: str | None
    """Kubernetes' uid; None if the document has not been through an API server."""
    spec: Spec


def parse_job(body: object) -> Job:
    """Read a document; `MistakesError` holds every mistake in it."""
    found = parse(LMTrainingJob, _relevant(body))
    meta = found.metadata
    return Job(name=meta.name, namespace=meta.namespace, uid=meta.uid, spec=found.spec)


def _relevant(body: object) -> object:
    """A document without what Kubernetes adds to it: its status, and most of its metadata."""
    if not isinstance(body, Mapping):
        return body
    kept: dict[Any, Any] = {key: value for key, value in body.items() if key != "status"}
    if isinstance(kept.get("metadata"), Mapping):
        known = {f.key for f in fields(Metadata)}
        kept["metadata"] = {k: v for k, v in kept["metadata"].items() if k in known}
    return kept
