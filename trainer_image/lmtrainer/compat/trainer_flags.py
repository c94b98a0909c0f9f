"""The flags of Hugging Face's Trainer that its scripts share, with the defaults of 3.0.2 to 4.25.

`training.run_document` turns their values into a configuration; a script's own flags come on top.
Flags that name the same thing twice over the years stand here under both names.
"""

from __future__ import annotations

from lmtrainer.compat.flags import Flag, ignored, renamed
from lmtrainer.compat.kinds import Kind


def _refused(name: str, kind: Kind, why: str) -> Flag:
    return Flag(name=name, kind=kind, text=why, refused=bool)


TRAINER: tuple[Flag, ...] = (
    Flag(
        name="output_dir",
        kind="text",
        required=True,
        text="output.to, a folder in it; the results lie there",
    ),
    renamed("overwrite_output_dir", "switch", "an earlier run in --output_dir is removed", False),
    renamed("do_train", "switch", "stage train", False),
    renamed("do_eval", "switch", "stage evaluate", False),
    renamed("evaluation_strategy", "text", "evaluate.everySteps", "no"),
    renamed("eval_strategy", "text", "evaluate.everySteps", "no"),
    renamed("evaluate_during_training", "switch", "evaluate.everySteps", False),
    renamed("eval_steps", "int", "evaluate.everySteps"),
    renamed("per_device_train_batch_size", "int", "phases[0].microBatchSize", 8),
    renamed("per_gpu_train_batch_size", "int", "phases[0].microBatchSize"),
    renamed("gradient_accumulation_steps", "int", "a factor of phases[0].globalBatchSize", 1),
    renamed("learning_rate", "float", "phases[0].learningRate", 5e-5),
    renamed("weight_decay", "float", "optimizer.weightDecay", 0.0),
    renamed("adam_beta1", "float", "optimizer.beta1", 0.9),
    renamed("adam_beta2", "float", "optimizer.beta2", 0.999),
    renamed("adam_epsilon", "float", "optimizer.epsilon", 1e-8),
    renamed("max_grad_norm", "float", "optimizer.clipNorm", 1.0),
    renamed("num_train_epochs", "float", "phases[0].epochs", 3.0),
    renamed("max_steps", "int", "phases[0].steps", -1),
    renamed("lr_scheduler_type", "text", "phases[0].schedule", "linear"),
    renamed("warmup_ratio", "float", "phases[0].warmupShare", 0.0),
    renamed("warmup_steps", "float", "phases[0].warmupSteps", 0.0),
    renamed("save_steps", "int", "checkpoint.everySteps", 500),
    renamed("save_total_limit", "int", "checkpoint.keep"),
    renamed("save_strategy", "text", "checkpoint.everySteps", "steps"),
    renamed("seed", "int", "seed", 42),
    renamed("fp16", "switch", "precision", False),
    renamed("bf16", "switch", "precision", False),
    renamed("logging_dir", "text", "TensorBoard files of the run are linked there"),
    renamed("resume_from_checkpoint", "text", "checkpoint.resume"),
    *ignored(
        "evaluation has a batch size of its own, which changes no result",
        "per_device_eval_batch_size",
        "per_gpu_eval_batch_size",
    ),
    *ignored(
        "evaluation adds up sums and keeps no logits",
        "eval_accumulation_steps",
    ),
    *ignored("evaluation adds up sums and keeps no logits", "prediction_loss_only", kind="switch"),
    *ignored(
        "every step is logged, the first as well",
        "logging_steps",
        "logging_strategy",
        "logging_nan_inf_filter",
    ),
    *ignored("every step is logged, the first as well", "logging_first_step", kind="switch"),
    *ignored(
        "the trainer uses the devices that it finds; hide them by CUDA_VISIBLE_DEVICES=",
        "no_cuda",
        "use_cpu",
        kind="switch",
    ),
    *ignored(
        "precision says it all",
        "fp16_opt_level",
        "fp16_backend",
        "half_precision_backend",
        "tf32",
        "fp16_full_eval",
        "bf16_full_eval",
    ),
    *ignored("our own launcher forms the group", "local_rank", "ddp_timeout"),
    *ignored(
        "the last batch of an epoch is filled from the next; evaluation reads all text",
        "dataloader_drop_last",
        kind="switch",
    ),
    *ignored(
        "batches come from a memory map; their order depends on the seed alone",
        "dataloader_num_workers",
        "dataloader_pin_memory",
        "dataloader_prefetch_factor",
        "group_by_length",
        "length_column_name",
    ),
    *ignored(
        "the objective says which columns and labels are read",
        "remove_unused_columns",
        "include_inputs_for_metrics",
    ),
    Flag(
        name="label_names",
        kind="list",
        fate="ignored",
        text="the objective says which labels are read",
    ),
    *ignored(
        "events are written beside the results, and nothing is sent anywhere",
        "report_to",
        "run_name",
        "push_to_hub",
        "hub_model_id",
        "hub_strategy",
        "hub_token",
        "disable_tqdm",
        "log_level",
        "log_level_replica",
        "log_on_each_node",
        "skip_memory_metrics",
    ),
    *ignored(
        "the trainer's own gradients need no such setting",
        "ddp_find_unused_parameters",
        "ddp_bucket_cap_mb",
        "past_index",
        "tpu_num_cores",
        "tpu_metrics_debug",
        "debug",
        "ray_scope",
        "torchdynamo",
        "use_ipex",
        "save_on_each_node",
        "ignore_data_skip",
        "data_seed",
        "full_determinism",
        "eval_delay",
    ),
    *ignored(
        "the last model is the result; checkpoints stay",
        "load_best_model_at_end",
        "metric_for_best_model",
        "greater_is_better",
    ),
    *ignored("a test text is evaluated by do_eval", "do_predict", kind="switch"),
    _refused("label_smoothing_factor", "float", "is not offered; the loss is plain cross entropy"),
    _refused("deepspeed", "text", "is not offered; remove it, the trainer shards by itself"),
    _refused("fsdp", "text", "is set in the job, not here"),
    _refused("sharded_ddp", "text", "is not offered; remove it"),
    _refused("adafactor", "switch", "is not offered; use AdamW or LAMB"),
    Flag(
        name="optim",
        kind="text",
        default="adamw_hf",
        text="optimizer.type adamw",
        refused=lambda name: not str(name).startswith("adamw"),
    ),
)
