"""The settings of the Lightning-style GPT-2 trainer: those of Lightning's Trainer 1.3.6, of the
model, and those of the scripts around it. Names have the dots of its configuration files."""

from __future__ import annotations

from collections.abc import Iterable

from lmtrainer.compat.flags import Flag, ignored, renamed, table
from lmtrainer.compat.kinds import Kind


def _ignored(
    why: str, section: str = "trainer", kind: Kind = "value", **defaults: object
) -> Iterable[Flag]:
    """With their defaults, as --print_config prints them."""
    return tuple(
        Flag(name=f"{section}.{name}", kind=kind, default=default, fate="ignored", text=why)
        for name, default in defaults.items()
    )


def _refused(why: str, **defaults: object) -> Iterable[Flag]:
    return tuple(
        Flag(name=f"trainer.{name}", kind="value", default=default, text=why, refused=bool)
        for name, default in defaults.items()
    )


def _trainer(name: str, kind: Kind, to: str, default: object = None) -> Flag:
    return renamed(f"trainer.{name}", kind, to, default)


_TRAINER = (
    renamed("seed_everything", "int", "seed"),
    _trainer("max_epochs", "int", "phases[0].epochs"),
    _trainer("max_steps", "int", "phases[0].steps"),
    _trainer("precision", "int", "precision", 32),
    _trainer("accumulate_grad_batches", "value", "phases[0].globalBatchSize", 1),
    _trainer("gradient_clip_val", "float", "optimizer.clipNorm", 0.0),
    _trainer("gpus", "value", "ranks of this node"),
    _trainer("num_nodes", "int", "nodes of the group", 1),
    _trainer("num_processes", "int", "ranks of this node", 1),
    _trainer("default_root_dir", "text", "the folder of lightning_logs"),
    _trainer("callbacks", "value", "what is recorded"),
    _trainer("val_check_interval", "float", "evaluate.everySteps", 1.0),
    *_ignored(
        "runs are always deterministic for a number of ranks",
        deterministic=False,
        benchmark=False,
    ),
    *_ignored(
        "a loss that is no number is never trained on",
        terminate_on_nan=False,
        track_grad_norm=-1,
    ),
    *_ignored(
        "every step is logged, beside the results",
        log_every_n_steps=50,
        flush_logs_every_n_steps=100,
        logger=True,
        log_gpu_memory=None,
        progress_bar_refresh_rate=None,
        process_position=0,
        weights_summary="top",
        profiler=None,
        num_sanity_val_steps=2,
        move_metrics_to_cpu=False,
    ),
    *_ignored(
        "the group and its gradients are our own",
        accelerator=None,
        distributed_backend=None,
        amp_backend="native",
        amp_level="O2",
        plugins=None,
        sync_batchnorm=False,
        replace_sampler_ddp=True,
        prepare_data_per_node=True,
        auto_select_gpus=False,
        tpu_cores=None,
    ),
    *_ignored(
        "checkpoints are made as checkpoint.everySteps says, and found again by themselves",
        checkpoint_callback=True,
        resume_from_checkpoint=None,
        weights_save_path=None,
    ),
    *_ignored(
        "held-out text is measured at the end, and as val_check_interval says",
        check_val_every_n_epoch=1,
        reload_dataloaders_every_n_epochs=0,
        reload_dataloaders_every_epoch=False,
        multiple_trainloader_mode="max_size_cycle",
        limit_val_batches=1.0,
        limit_test_batches=1.0,
        limit_predict_batches=1.0,
        min_epochs=None,
        min_steps=None,
        gradient_clip_algorithm="norm",
    ),
    *_refused(
        "is not offered; remove it",
        fast_dev_run=False,
        overfit_batches=0.0,
        auto_lr_find=False,
        auto_scale_batch_size=False,
        truncated_bptt_steps=None,
        stochastic_weight_avg=False,
        max_time=None,
    ),
    Flag(
        name="trainer.limit_train_batches",
        kind="float",
        default=1.0,
        text="must be 1.0; give trainer.max_steps instead",
        refused=lambda value: value != 1.0,
    ),
)

_MODEL = (
    renamed("model.tokenizer_model", "text", "tokenizer.from"),
    renamed("model.train_file", "text", "data.train"),
    renamed("model.valid_file", "text", "data.validation.files"),
    renamed("model.test_file", "text", "the text that test.py measures"),
    renamed("model.from_pretrained", "text", "model.from"),
    renamed("model.block_size", "int", "phases[0].sequenceLength", 1024),
    renamed("model.n_layer", "int", "model.config.layers", 12),
    renamed("model.n_head", "int", "model.config.heads", 12),
    renamed("model.n_embd", "int", "model.config.hiddenSize", 768),
    renamed("model.batch_size", "int", "phases[0].microBatchSize", 2),
    renamed("model.lr", "float", "phases[0].learningRate", 1e-4),
    renamed("model.num_warmup_steps", "int", "phases[0].warmupSteps", 0),
    renamed("model.num_training_steps", "int", "phases[0].schedule linear"),
    *_ignored(
        "batches come from a memory map, shuffled over all of it",
        "model",
        "int",
        prefetch_factor=10,
        num_workers=1,
        shuffle_buffer_size=1000,
    ),
)

_FILES = (
    renamed("config", "text", "settings"),
    renamed("print_config", "switch", "printed, nothing is run", False),
)

TRAINER = table(_FILES, _TRAINER, _MODEL)
TEST = table(
    _FILES,
    _TRAINER,
    _MODEL,
    (Flag(name="ckpt_path", kind="text", required=True, text="the model"),),
)
EXPORT = table(
    _FILES,
    _TRAINER,
    _MODEL,
    (
        Flag(name="ckpt_path", kind="text", required=True, text="the model"),
        Flag(name="output_dir", kind="text", required=True, text="a model's folder"),
    ),
)
TRAIN_TOKENIZER = table(
    (
        Flag(name="train_file", kind="text", required=True, text="text"),
        renamed("spm_model_dir", "text", "the SentencePiece model's folder", "output/spm"),
        renamed("tf_model_dir", "text", "the tokenizer's folder", "output/model"),
        renamed("vocab_size", "int", "tokenizer.train.vocabSize", 32000),
        renamed("input_sentence_size", "int", "tokenizer.train.unigram.sentences", 10_000_000),
        *ignored("none is ever added", "add_dummy_prefix", kind="switch"),
    )
)
