"""What the values of `trainer_flags.TRAINER` mean as parts of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmtrainer.compat.flags import Said, Values, choice
from lmtrainer.compat.translation import RunStep
from lmtrainer.contract.arguments import Stage

PHASE = "main"

_SCHEDULES: Mapping[str, str] = {
    "linear": "linear",
    "cosine": "cosine",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
EVAL_STEPS = 500
"""Between two looks at the held-out text, where they are asked for and nothing says how many."""

LEAST_KEPT = 2
"""Checkpoints: the last good one must survive a bad save."""


def phase(
    values: Values, said: Said, *, length: int, world: int, factor: int = 1
) -> dict[str, Any]:
    """The one phase of a training script. `factor`: what else multiplies the batch, such as
    replicas of a model on hardware of another kind."""
    micro = values.get("per_gpu_train_batch_size") or values["per_device_train_batch_size"]
    batch = micro * world * factor * values["gradient_accumulation_steps"]
    found: dict[str, Any] = {
        "name": PHASE,
        "sequenceLength": length,
        "globalBatchSize": batch,
        "microBatchSize": micro,
        "learningRate": values["learning_rate"],
        "schedule": choice("lr_scheduler_type", _SCHEDULES, values, said),
    }
    return found | _duration(values, said) | _warmup(values, said)


def _duration(values: Values, said: Said) -> dict[str, Any]:
    if values["max_steps"] > 0:
        if values.has("num_train_epochs"):
            said.note("num_train_epochs", "ignored", "--max_steps counts")
        return {"steps": values["max_steps"]}
    return {"epochs": values["num_train_epochs"]}


def _warmup(values: Values, said: Said) -> dict[str, Any]:
    """Trainer takes the steps where both are given; newer ones take a fraction for a share."""
    steps, share = values["warmup_steps"], values["warmup_ratio"]
    if 0 < steps < 1:
        return {"warmupShare": steps}
    if steps or not share:
        if share:
            said.note("warmup_ratio", "ignored", "--warmup_steps counts")
        return {"warmupSteps": int(steps)}
    return {"warmupShare": share}


def optimizer(values: Values) -> dict[str, Any]:
    return {
        "type": "adamw",
        "weightDecay": values["weight_decay"],
        "beta1": values["adam_beta1"],
        "beta2": values["adam_beta2"],
        "epsilon": values["adam_epsilon"],
        "clipNorm": values["max_grad_norm"],
    }


def evaluation(values: Values, said: Said) -> dict[str, Any]:
    """The block `evaluate`: steps between looks at the held-out text."""
    name = "evaluation_strategy" if values.has("evaluation_strategy") else "eval_strategy"
    strategy = values[name]
    if strategy == "epoch":
        said.note(name, "made right", "evaluated at the end; set --eval_steps for more")
    elif strategy == "steps" or values["evaluate_during_training"]:
        return {"everySteps": values["eval_steps"] or EVAL_STEPS}
    elif strategy != "no":
        said.wrong(name, strategy, "must be one of no, steps, epoch")
    if values.has("eval_steps"):
        said.note("eval_steps", "ignored", "no periodic evaluation is asked for")
    return {}


def checkpoints(values: Values, said: Said) -> dict[str, Any]:
    """The block `checkpoint`."""
    found: dict[str, Any] = {"everySteps": values["save_steps"]}
    if values["save_strategy"] != "steps":
        text = f"every {values['save_steps']} steps, and at the end"
        said.note("save_strategy", "made right", text)
    keep = values["save_total_limit"]
    if keep is not None:
        found["keep"] = max(keep, LEAST_KEPT)
        if keep < LEAST_KEPT:
            text = f"checkpoint.keep {LEAST_KEPT}: the last good one must survive a bad save"
            said.note("save_total_limit", "made right", text)
    else:
        said.note("save_total_limit", "made right", "not given: the newest 3 are kept, not all")
    if values["resume_from_checkpoint"] not in (None, "False", "false"):
        said.note(
            "resume_from_checkpoint", "made right", "the newest one in --output_dir that verifies"
        )
    return found


def precision(values: Values) -> str:
    if values["bf16"]:
        return "bf16"
    return "fp16" if values["fp16"] else "fp32"


def run_document(values: Values, said: Said, **parts: Any) -> dict[str, Any]:
    """A whole configuration: what the Trainer's flags say, and the script's own parts."""
    if values.get("overwrite_cache"):
        parts["data"] = {**parts["data"], "rebuild": True}
    return {
        "seed": values["seed"],
        "precision": precision(values),
        "optimizer": optimizer(values),
        "evaluate": evaluation(values, said),
        "checkpoint": checkpoints(values, said),
        "output": {"to": run_folder(values["output_dir"])},
        **parts,
    }


def stages(values: Values, said: Said, *, measured: bool) -> tuple[Stage, ...]:
    """What --do_train and --do_eval ask for; `measured`: training is followed by an evaluation."""
    if values["do_train"]:
        return ("prepare", "train", "evaluate") if measured else ("prepare", "train")
    if values["do_eval"]:
        return ("prepare", "evaluate")
    said.wrong("do_train", None, "neither --do_train nor --do_eval is given", "give one")
    return ()


def run_step(
    values: Values, run: Mapping[str, Any], wanted: tuple[Stage, ...], *, model: str | None = None
) -> RunStep:
    """Stages of a run, whose results go where the Trainer's flags say. `model`: a saved one that is
    measured instead of one that is trained."""
    return RunStep(
        run=run,
        stages=wanted,
        results=values["output_dir"],
        overwrite=values["overwrite_output_dir"],
        events=values["logging_dir"],
        model=model,
    )


RUN_FOLDER = "run"


def run_folder(results: str) -> str:
    """Where the trainer works below the folder that a command line names: what the earlier kit's
    user looks for lies in that folder itself, the trainer's own files one deeper."""
    return f"{results.rstrip('/')}/{RUN_FOLDER}"
