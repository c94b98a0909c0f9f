"""`trainer.callbacks` of the Lightning-style trainer: a list of {class_path, init_args}."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmtrainer.compat.flags import Said, Values
from lmtrainer.compat.translation import Note
from lmtrainer.config.mistakes import meant

FLAG = "trainer.callbacks"

_KNOWN: Mapping[str, str] = {
    "LearningRateMonitor": "the learning rate of every step is recorded anyway",
    "GPUStatsMonitor": "memory and use of GPUs are recorded where there are any",
    "DeviceStatsMonitor": "memory and use of GPUs are recorded where there are any",
    "ModelCheckpoint": "checkpoints are made anyway, and checked",
    "ProgressBar": "progress is told anyway",
    "TQDMProgressBar": "progress is told anyway",
}


def read_callbacks(values: Values, said: Said) -> tuple[dict[str, Any], list[Note]]:
    """What the callbacks mean here: the block `evaluate`, and a note for each."""
    notes: list[Note] = []
    raw = values[FLAG] or []
    for item in raw if isinstance(raw, list) else [raw]:
        path = item.get("class_path") if isinstance(item, Mapping) else item
        name = str(path).rpartition(".")[2]
        if name in _KNOWN:
            notes.append(Note(f"--{FLAG} {name}", "ignored", _KNOWN[name]))
        else:
            rule = "is no callback that is known here"
            said.wrong(FLAG, path, rule, meant(name, _KNOWN))
    return _evaluation(values, said), notes


def _evaluation(values: Values, said: Said) -> dict[str, Any]:
    """val_check_interval: steps where it is a whole number above 1, else parts of an epoch."""
    interval = values["trainer.val_check_interval"]
    if interval > 1 and interval == int(interval):
        return {"everySteps": int(interval)}
    if values.has("trainer.val_check_interval") and interval != 1.0:
        text = "measured at the end; give a number of steps for more"
        said.note("trainer.val_check_interval", "made right", text)
    return {}
