"""The specification of a job. `parse_job` is the only door from a document to values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lmjob.api.names import API_VERSION, KIND, MAX_JOB_NAME
from lmjob.api.spec.group import group_mistakes
from lmjob.api.spec.pods import PodFields
from lmjob.api.spec.refusals import REFUSED_JOB_FIELDS
from lmjob.api.spec.roles import EvaluateRole, FailurePolicy, StartupPolicy, WorkersRole
from lmjob.api.spec.syntax import IMAGE, IMAGE_HELP, NAMESPACE, NAMESPACE_HELP
from lmtrainer.config import Mistake, RunConfig, parse
from lmtrainer.config.run import EvaluateConfig
from lmtrainer.config.schema import fields, required, setting


@dataclass(frozen=True, kw_only=True)
class JobSpec(RunConfig):
    """All that a user says about a job: the trainer's configuration, and where and how it runs."""

    refused: ClassVar[Mapping[str, str]] = REFUSED_JOB_FIELDS

    image: str | None = setting(
        None,
        "image of every pod; left out, the operator's setting",
        pattern=IMAGE,
        pattern_help=IMAGE_HELP,
        way_out="write registry/name:tag, such as example.org/lmtrainer:0.1.0",
    )
    suspend: bool = setting(False, "true: no pods until it is false")
    processes_per_node: int | Literal["auto"] = setting(
        "auto", "ranks of a node; auto: its GPUs, else 1", minimum=1, maximum=1024
    )
    pods: PodFields = setting(PodFields, "fields of every pod of the job")
    prepare: PodFields = setting(
        PodFields, "the pod that makes tokenizer and dataset; no devices unless asked for here"
    )
    master: PodFields = setting(PodFields, "node 0 of the training group")
    workers: WorkersRole = setting(WorkersRole, "the other nodes of the training group")
    evaluate: EvaluateRole = setting(
        EvaluateRole, "what is measured, and its pod; one device of each kind unless asked for more"
    )
    startup: StartupPolicy = setting(StartupPolicy, "how long a group may take to form")
    failure_policy: FailurePolicy = setting(FailurePolicy, "what follows a fault")
    termination_grace_period_seconds: int = setting(
        60,
        "between the request to end and the end: a checkpoint is saved in it",
        minimum=10,
        maximum=86_400,
    )

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        yield from group_mistakes(self)

    def run(self) -> RunConfig:
        """The part that the trainer reads."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(RunConfig)}
        looks = {f.name: getattr(self.evaluate, f.name) for f in dataclasses.fields(EvaluateConfig)}
        return RunConfig(**values | {"evaluate": EvaluateConfig(**looks)})


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
    spec: JobSpec = required(
        "what the job shall do", way_out="give spec.data, spec.model, spec.phases and spec.output"
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that a backend can be asked to run."""

    name: str
    namespace: str
    uid: str | None
    """Kubernetes' uid; None if the document has not been through an API server."""
    spec: JobSpec


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
