"""Valid jobs that, together, give every field of a specification, and a status with all of its."""

from __future__ import annotations

import copy
from typing import Any

from lmjob.core.fault import Fault
from lmjob.core.memory import Memory
from lmjob.core.observed import Observed
from lmjob.core.plan.shapes import JobPlan
from lmjob.core.report import report
from lmtrainer.config import document
from lmtrainer.contract.reports import Position, Progress
from tests.lmjob.bodies import GOOD, changed

EXPRESSIONS = [{"key": "example.org/pool", "operator": "In", "values": ["a", "b"]}]
POD_TERM = {
    "labelSelector": {"matchLabels": {"team": "nlp"}, "matchExpressions": EXPRESSIONS},
    "topologyKey": "kubernetes.io/hostname",
}
POD_AFFINITY = {
    "requiredDuringSchedulingIgnoredDuringExecution": [POD_TERM],
    "preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 1, "podAffinityTerm": POD_TERM},
    ],
}
POD: dict[str, Any] = {
    "resources": {
        "requests": {"cpu": 2, "memory": "8192Mi", "example.org/fpga": 1},
        "limits": {"memory": "8Gi", "example.org/fpga": "1"},
    },
    "sharedMemory": "1Gi",
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"pool": "a"},
    "tolerations": [
        {"key": "gpu", "operator": "Equal", "value": "x", "effect": "NoExecute"},
        {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30},
    ],
    "affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": EXPRESSIONS}]
            },
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 100, "preference": {"matchExpressions": EXPRESSIONS}}
            ],
        },
        "podAffinity": POD_AFFINITY,
        "podAntiAffinity": POD_AFFINITY,
    },
    "labels": {"team": "nlp"},
    "annotations": {"example.org/note": "any text: $(X) {{7*7}} é😀\n"},
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "env": [
        {"name": "A", "value": "1"},
        {"name": "B"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "secret-key"}}},
    ],
}


def _pod(**more: Any) -> dict[str, Any]:
    return {**copy.deepcopy(POD), **more}


EVERY_FIELD = changed(
    {
        "spec.suspend": False,
        "spec.processesPerNode": 1,
        "spec.seed": 2**63 - 1,
        "spec.precision": "fp32",
        "spec.threadsPerProcess": "auto",
        "spec.gradientCheckpointing": True,
        "spec.lossChunks": 2,
        "spec.torchCompile": True,
        "spec.lossScale": {"type": "static", "initial": 1024},
        "spec.objective": "mlm",
        "spec.pods": _pod(),
        "spec.prepare": _pod(replicas=2),
        "spec.master": _pod(),
        "spec.workers": _pod(replicas=3),
        "spec.evaluate": _pod(everySteps=10, fill=["a [MASK]"], onlyMlm=True),
        "spec.data": {
            "train": ["pvc://corpus/wiki/*.txt", "sample://jargon"],
            "weights": [1, 0.5],
            "validation": {"files": ["pvc://corpus/held/*.txt"], "maxSequences": 100},
            "documents": "line",
            "sequences": "sentences",
            "longSentences": "drop",
            "maxSequences": 1000,
            "encoding": "utf-8",
            "textColumn": "body",
            "keepLineBreaks": True,
            "tokenized": False,
            "processes": 2,
            "rebuild": True,
            "copyToNode": True,
            "cache": "pvc://corpus/cache",
        },
        "spec.tokenizer": {
            "train": {
                "type": "unigram",
                "vocabSize": 1000,
                "specialTokens": "bert",
                "lowercase": True,
                "spaceToken": True,
                "newlineToken": True,
                "unigram": {
                    "normalization": "none",
                    "characterCoverage": 1,
                    "maxPieceLength": 10,
                    "sentences": 1000,
                    "byteFallback": True,
                },
                "maxBytes": 1_000_000_000,
            }
        },
        "spec.model": {
            "type": "bert",
            "preset": "tiny",
            "config": {
                "layers": 3,
                "hiddenSize": 96,
                "heads": 4,
                "intermediateSize": 384,
                "maxPositions": 256,
                "dropout": 0,
                "attentionDropout": 0.5,
                "layerNormEpsilon": 1e-12,
                "initializerRange": 0.02,
                "activation": "gelu",
            },
        },
        "spec.masking": {
            "share": 0.2,
            "masked": 1,
            "random": 0,
            "wholeWords": True,
            "maxPredictions": 20,
        },
        "spec.phases[0].objective": "mlm",
        "spec.pairs": {"randomShare": 0.5, "shortShare": 0, "passes": 2},
        "spec.phases[0].schedule": "linear",
        "spec.phases[0].batchSchedule": [{"epoch": 2, "globalBatchSize": 512}],
        "spec.phases[0].warmupShape": "sqrt",
        "spec.phases[0].finalLearningRate": 1e-7,
        "spec.phases[0].optimizer": {
            "type": "lamb",
            "weightDecay": 0.1,
            "beta1": 0.8,
            "beta2": 0.98,
            "epsilon": 1e-6,
            "biasCorrection": False,
            "clipNorm": 2,
        },
        "spec.optimizer": {
            "type": "adamw",
            "weightDecay": 0.01,
            "beta1": 0.9,
            "beta2": 0.99,
            "epsilon": 1e-8,
            "biasCorrection": True,
            "clipNorm": 0,
        },
        "spec.parallel": {"strategy": "zero1"},
        "spec.hangSeconds": 600,
        "spec.divergence": {"maxRollbacks": 2, "spikeDeviations": 8},
        "spec.checkpoint": {"everySteps": 100, "keep": 3, "resume": "auto"},
        "spec.output.tensorboard": False,
        "spec.output.copyTo": "s3://results/good",
        "spec.startup": {"timeoutSeconds": 60},
        "spec.failurePolicy": {"maxRestarts": 0},
        "spec.terminationGracePeriodSeconds": 60,
    }
)
"""All fields but those that exclude one of these."""

OTHER_FIELDS = changed(
    {
        "spec.data.validation": {"share": 0.1},
        "spec.tokenizer": {"from": "pvc://corpus/tokenizer"},
        "spec.model": {
            "type": "bert",
            "from": "pvc://corpus/model",
            "resizeEmbeddings": True,
        },
        "spec.phases": [{"name": "main", "epochs": 1.5, "warmupShare": 0.1}],
        "spec.processesPerNode": "auto",
    }
)
WORDS = {"type": "wordlevel", "minFrequency": 2, "segmenter": "newmm"}
COMMAND = {
    **GOOD,
    "spec": {
        "command": ["python", "train.py", "$(HOME)", "--data=pvc://corpus/wiki", "pvc://results/x"],
        "threadsPerProcess": 2,
        "workers": {"replicas": 3},
        "output": {"to": "pvc://results/good"},
    },
}
VALID = {
    "good": GOOD,
    "every field": EVERY_FIELD,
    "other fields": OTHER_FIELDS,
    "shares": changed(
        {
            "spec.steps": 100_000,
            "spec.phases": [{"name": "short", "share": 0.9}, {"name": "long", "share": 0.1}],
        }
    ),
    "words": changed({"spec.tokenizer": {"train": WORDS}}),
    "a command": COMMAND,
}

NOW = 1_700_000_000.0
DURABLE = Position(phase_index=0, step=40, phase="main")
MEMORY = Memory(
    attempt=2,
    stage="train",
    group="formed",
    restarts=1,
    retry_at=NOW,
    outcome="complete",
    outcome_reason="AllStagesDone",
    last_fault=Fault(
        reason="RankKilled", replica="worker-0", message="killed by signal 9", rank=1, at=NOW
    ),
    durable=DURABLE,
    durable_at_fault=DURABLE,
    kept_at_fault=1 << 40,
    lost_steps=15,
    noted_at=NOW,
    started_at=NOW,
    finished_at=NOW + 1,
)
PROGRESS = Progress(
    attempt=2,
    stage="train",
    activity="phase main",
    done=55,
    total=100,
    position=Position(phase_index=0, step=55, phase="main"),
    loss=4.5,
    tokens_per_second=1234.5,
    eta_seconds=61.0,
    durable=DURABLE,
)


def every_status(plan: JobPlan) -> dict[str, Any]:
    """A status as the operator stores it."""
    told = report(plan, MEMORY, Observed(progress=PROGRESS), NOW)
    return {**told, "observedGeneration": 1, "memory": document(MEMORY)}
