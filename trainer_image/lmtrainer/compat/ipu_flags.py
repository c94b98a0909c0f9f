"""The flags of the IPU kit's three training scripts: those that they share, and their own."""

from __future__ import annotations

from lmtrainer.compat.flags import Flag, ignored, renamed, table
from lmtrainer.compat.modelblock import MODEL_FLAGS, OVERRIDES
from lmtrainer.compat.trainer_flags import TRAINER

_HARDWARE = (
    Flag(name="ipu_config_name", kind="text", fate="recorded", text="the profile of the hardware"),
    Flag(
        name="ipu_config_overrides",
        kind="text",
        fate="recorded",
        text="changes to the profile of the hardware",
    ),
    renamed("pod_type", "text", "replicas, a factor of phases[0].globalBatchSize"),
    renamed("n_ipu", "int", "replicas, a factor of phases[0].globalBatchSize"),
    renamed("fp32", "switch", "precision fp32", False),
    renamed("lamb", "switch", "optimizer.type lamb", False),
    renamed("lamb_no_bias_correction", "switch", "optimizer.biasCorrection false", False),
    renamed("loss_scaling", "float", "lossScale.initial"),
    renamed("auto_loss_scaling", "switch", "lossScale.type histogram", False),
    renamed("groupbert_schedule", "switch", "phases[0].warmupShape sqrt", False),
    renamed("gradient_checkpointing", "switch", "gradientCheckpointing", False),
    Flag(
        name="dataloader_mode",
        kind="text",
        default="sync",
        fate="ignored",
        text="batches come from a memory map, read ahead",
        refused=lambda mode: mode not in ("sync", "async", "async_rebatched"),
    ),
    renamed("compile_only", "switch", "stage prepare, then `lmtrainer compile`", False),
    *ignored(
        "batches have no fixed size: rows are packed",
        "pad_on_batch_axis",
        kind="switch",
    ),
    Flag(
        name="max_grad_norm",
        kind="float",
        default=0.0,
        fate="ignored",
        text="the script never clips: optimizer.clipNorm 0",
    ),
    *ignored(
        "LAMB and AdamW of the script have fixed ones", "adam_beta1", "adam_beta2", kind="float"
    ),
    renamed("per_device_train_batch_size", "int", "phases[0].microBatchSize", 1),
)

_DATA = (
    renamed("dataset_name", "text", "data.train"),
    renamed("dataset_config_name", "text", "a part of data.train"),
    renamed("train_file", "text", "data.train"),
    renamed("validation_file", "text", "data.validation.files"),
    renamed("overwrite_cache", "switch", "data.rebuild", False),
    renamed("validation_split_percentage", "float", "data.validation.share", 5.0),
    renamed("max_train_samples", "int", "data.maxSequences"),
    renamed("max_eval_samples", "int", "data.validation.maxSequences"),
    *ignored("the dataset has its own workers", "preprocessing_num_workers", kind="int"),
)

_MASKED = (
    renamed("max_seq_length", "int", "phases[0].sequenceLength"),
    renamed("mlm_probability", "float", "masking.share", 0.15),
    renamed("line_by_line", "switch", "data.sequences lines", False),
    *ignored("rows are packed, not padded", "pad_to_max_length", kind="switch"),
)

_SHARED = (TRAINER, MODEL_FLAGS, (OVERRIDES,), _HARDWARE, _DATA)

RUN_MLM = table(*_SHARED, _MASKED)
RUN_CLM = table(
    *_SHARED,
    (
        renamed("block_size", "int", "phases[0].sequenceLength"),
        renamed("keep_linebreaks", "switch", "data.keepLineBreaks", True),
        renamed("no_keep_linebreaks", "switch", "data.keepLineBreaks false", False),
    ),
)
RUN_PRETRAINING = table(
    *_SHARED,
    _MASKED,
    (
        renamed("dataset_path", "text", "data.train"),
        renamed("data_dir", "text", "a folder in data.train"),
        renamed("is_already_preprocessed", "switch", "data.train holds instances", False),
        renamed("is_already_masked", "switch", "the masks of the instances are kept", False),
    ),
)
PREPARE_DATASET = table(
    (
        *ignored("as many as the machine has cores", "num_workers", kind="int"),
        renamed("dataset_name", "text", "data.train"),
        renamed("data_dir", "text", "data.train"),
        *ignored("nothing is fetched", "cache_dir"),
        Flag(name="output_dataset_name", kind="text", required=True, text="data.cache"),
        *ignored("there are none", "keep_intermediate_datasets", kind="switch"),
        renamed("max_number_of_files", "int", "the first so many files of data.train"),
        renamed("tokenizer_name", "text", "tokenizer.from", "bert-base-uncased"),
    )
)
