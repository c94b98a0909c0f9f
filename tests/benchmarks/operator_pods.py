"""The pods that every subject makes: rendered once by our own templates, then filled in as text.

So the floor and the plain operator create objects of the same size and content as ours at the least
possible cost. Also the benchmark's job, and the record by which a prepare stage proves its success.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmjob.api import names
from lmjob.api.spec import parse_job
from lmjob.core.plan import Facts, JobPlan, plan_job
from lmjob.render import manifests
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import Completion, Position, Termination, dump
from tests.cluster.harness import jobs

WORKERS = 3
IMAGE = "example.org/lmtrainer:bench"
TOLERATION = {"key": "fake", "operator": "Exists"}

_NAME, _UID, _SPACE, _IP = "template", "00000000-0000-4000-8000-000000000000", "space", "10.9.9.9"

Part = tuple[names.Role, int]
PARTS: tuple[Part, ...] = (("prepare", 0), ("master", 0), *(("worker", i) for i in range(WORKERS)))


def job(name: str, **spec: Any) -> dict[str, Any]:
    """A job of one master and three workers for fake nodes."""
    pods = {"resources": {"requests": {"cpu": "1m"}}, "tolerations": [TOLERATION]}
    return jobs.job(name, workers=WORKERS, **{"pods": pods, **spec})


def _plan() -> JobPlan:
    body = job(_NAME)
    body["metadata"] |= {"uid": _UID, "namespace": _SPACE, "generation": 1}
    return plan_job(parse_job(body), uid=_UID, facts=Facts(default_image=IMAGE))


class Templates:
    """Pods of a job as JSON text."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts
        self._hash = names.uid_hash(_UID)

    @classmethod
    def read(cls, path: Path) -> Templates:
        return cls(json.loads(path.read_text()))

    def pod(self, job: Any, part: Part, ip: str = "") -> str:
        """The body of a POST. `ip` is the master's, for workers."""
        meta = job["metadata"]
        text = self._texts["-".join(map(str, part))]
        for old, new in (
            (f"{_NAME}-{self._hash}", f"{meta['name']}-{names.uid_hash(meta['uid'])}"),
            (f'"{_NAME}"', f'"{meta["name"]}"'),
            (_UID, meta["uid"]),
            (f'"{_SPACE}"', f'"{meta["namespace"]}"'),
            (_IP, ip),
        ):
            text = text.replace(old, new)
        return text


def write_templates(path: Path) -> None:
    """For the processes of floor and plain operator, which so need nothing of our rendering."""
    plan, texts = _plan(), {}
    for stage in plan.stages:
        for replica in stage.replicas:
            body = manifests.pod(plan, stage.name, replica, 1, master_ip=_IP)
            texts[str(replica.key)] = json.dumps(body, separators=(",", ":"))
    path.write_text(json.dumps(texts))


CONFIG_HASH = _plan().config_hash
"""Of every job of the benchmark: they differ in their names only."""


def prepared(job_uid: str) -> str:
    """The last word of a prepare stage that has succeeded."""
    end = Position(phase_index=0, step=0)
    record = Completion(
        stage="prepare",
        job_uid=job_uid,
        attempt=1,
        config_hash=CONFIG_HASH,
        position=end,
        target=end,
        manifest_sha256="ab" * 32,
    )
    return dump(
        Termination(
            job_uid=job_uid,
            attempt=1,
            stage="prepare",
            exit_type=ExitType.SUCCEEDED.name,
            completion=record,
        )
    )
