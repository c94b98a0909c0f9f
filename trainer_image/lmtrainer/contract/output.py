"""Where a run writes: the one rule for the folder's name, for the trainer and for who starts it."""

from __future__ import annotations

RUN_FILE = "run.json"
"""Identity of the run that owns an output folder."""

RUNNER_FOLDER = ".lmjob"
"""What `lmjob run` keeps in the output folder for itself."""

MODEL_FOLDER = "model"
"""The trained model with its tokenizer, in the output folder."""

CHECKPOINTS = "checkpoints"
"""Folder of all checkpoints of a run, in its output folder."""

CONFIGURATION_FILE = "configuration.json"
"""The whole configuration, resolved: `lmtrainer run` takes it."""

EVALUATION_FILE = "evaluation.json"
"""What the evaluation measured, for people and programs."""


PICTURE_FILE = "loss.png"
"""The loss curve."""

MODEL_CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
"""What transformers calls the two files of a saved model."""


def folder_beside(folder: str, job_uid: str) -> str:
    """The folder of a run with `resume: never` whose own folder belongs to another run."""
    return f"{folder.rstrip('/')}-{job_uid[:8]}"
