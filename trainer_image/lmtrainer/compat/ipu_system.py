"""The system that a command line of the IPU kit is for: its profile, and what follows from it for
the batch, the number format and the optimizer. Called by `ipu`."""

from __future__ import annotations

from typing import Any

from lmtrainer.compat import hardware
from lmtrainer.compat.documents import Files, json_at
from lmtrainer.compat.flags import Said, Values
from lmtrainer.compat.hardware import Hardware
from lmtrainer.compat.modelblock import Model
from lmtrainer.compat.translation import Note
from lmtrainer.config import MistakesError, parse
from lmtrainer.config.mistakes import meant
from lmtrainer.config.model import ModelConfig

PROFILE = "ipu_config.json"
DEFAULT_POD = "pod4"


def optimizer(values: Values) -> dict[str, Any]:
    """Its AdamW never corrects the bias of the moments, its LAMB does unless told."""
    corrected = values["lamb"] and not values["lamb_no_bias_correction"]
    return {
        "type": "lamb" if values["lamb"] else "adamw",
        "weightDecay": values["weight_decay"],
        "epsilon": values["adam_epsilon"],
        "biasCorrection": corrected,
        "clipNorm": 0.0,
    }


def numbers(values: Values, said: Said, found: Hardware) -> dict[str, Any]:
    """Number format, loss scale, and what saves memory."""
    formats: dict[str, Any] = {"precision": "fp32" if values["fp32"] else "fp16-true"}
    if not values["fp32"]:
        said.more.append(Note("--fp32", "made right", "not given: precision fp16-true, as there"))
    histogram = values["auto_loss_scaling"] or found.fields.get("auto_loss_scaling", False)
    scale = values["loss_scaling"] or 1.0
    formats["lossScale"] = {"type": "histogram" if histogram else "static", "initial": scale}
    if values["gradient_checkpointing"] or found.fields.get("recompute_checkpoint_every_layer"):
        formats["gradientCheckpointing"] = True
    chunks = found.fields.get("embedding_serialization_factor", 1)
    if chunks > 1:
        formats["lossChunks"] = chunks
    if any(found.fields.get(key) for key in hardware.SPARING):
        formats["parallel"] = {"strategy": "zero1"}
        text = f"{' or '.join(hardware.SPARING)}: parallel.strategy zero1"
        said.more.append(Note("hardware", "made right", text))
    return formats


def kernels(values: Values, said: Said, found: Hardware) -> str:
    """The folder that --compile_only fills: the profile's, if it names one."""
    to: str = found.fields.get(hardware.CACHE) or f"{values['output_dir'].rstrip('/')}/kernels"
    text = f"stage prepare, then `lmtrainer compile`: kernels in {to}, for runs with torchCompile"
    said.note("compile_only", "renamed", text)
    return to


def read_hardware(values: Values, said: Said, files: Files, model: Model) -> Hardware:
    """The system, told as notes and kept with the results."""
    pod = _pod(values, said)
    name = values["ipu_config_name"] or values["model_name_or_path"]
    where = f"{name}/{PROFILE}" if name else PROFILE
    profile = json_at(name, PROFILE, files) if name else None
    if profile is None:
        text = f"{where} is not here: replicas of 4 stages, as published"
        said.note("ipu_config_name", "recorded", text)
    overrides: dict[str, Any] = {}
    if values["ipu_config_overrides"]:
        overrides, wrong = hardware.read_overrides(
            values["ipu_config_overrides"], "--ipu_config_overrides"
        )
        said.mistakes += wrong
    found, mistakes = hardware.resolve(
        profile or {}, overrides, pod, layers=_layers(model), where=where
    )
    said.mistakes += mistakes
    said.hardware |= found.document()
    said.more += _hardware_notes(found, values)
    return found


def _layers(model: Model) -> int | None:
    """Layers of the model, where they are known and no mistake hides them."""
    try:
        sizes = parse(ModelConfig, dict(model.block)).sizes()
    except MistakesError:
        return None
    return sizes.layers if sizes else None


def _hardware_notes(found: Hardware, values: Values) -> list[Note]:
    micro, steps = values["per_device_train_batch_size"], values["gradient_accumulation_steps"]
    total = micro * found.replicas * steps * found.device_iterations
    notes = [
        Note(
            "hardware",
            "recorded",
            f"{found.pod}: {found.replicas} replicas of {found.stages} stages; global batch {total}"
            f" = {micro} x {found.replicas} x {steps} x {found.device_iterations} iterations",
        ),
        *(Note("hardware", "recorded", line) for line in found.stage_map()),
    ]
    meant_here = {hardware.CACHE} if values["compile_only"] else set()
    ignored = [
        key for key in hardware.NOT_MEANT_HERE if key in found.fields and key not in meant_here
    ]
    if ignored:
        text = f"{', '.join(ignored)}: no meaning on these devices"
        notes.append(Note("hardware", "ignored", text))
    if found.stages > 1:
        text = "one process holds the whole model; its loss is that of one stage"
        notes.append(Note("hardware", "made right", text))
    return notes


def _pod(values: Values, said: Said) -> str:
    pod: str | None = values["pod_type"]
    if values["n_ipu"] is not None:
        pod = f"pod{values['n_ipu']}"
    if pod is None:
        said.note("pod_type", "made right", f"not given: {DEFAULT_POD}")
        return DEFAULT_POD
    if pod not in hardware.PODS:
        rule = f"must be one of {', '.join(hardware.PODS)}"
        said.wrong("pod_type", pod, rule, meant(pod, hardware.PODS, ""))
        return DEFAULT_POD
    return pod
