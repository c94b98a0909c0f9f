"""Every command line that the guides of the five earlier kits print, as they print it."""

from __future__ import annotations

import re
import shlex

TUTORIAL = r"""
model_source="/output/bert/tokens"
model_target="/output/bert/base"
target_train="/dataset/train.txt"
target_test="/dataset/test.txt"
python -m torch.distributed.launch --nproc_per_node=4 ./run_language_modeling.py \
  --output_dir $model_target \
  --config_name $model_source \
  --tokenizer_name $model_source \
  --train_data_file $target_train \
  --eval_data_file $target_test \
  --save_total_limit 5 \
  --block_size 128 \
  --overwrite_output_dir \
  --fp16 \
  --num_train_epochs 2 \
  --do_train \
  --per_device_train_batch_size 128 \
  --per_device_eval_batch_size 4 \
  --mlm
"""

TUTORIAL_AGAIN = r"""
model_source="/output/bert/base"
model_target="/output/bert/base-finetuning"
target_train="/dataset/train_new.txt"
target_test="/dataset/test_new.txt"
python -m torch.distributed.launch --nproc_per_node=4 ./run_language_modeling.py \
  --output_dir $model_target \
  --config_name $model_source \
  --model_name_or_path $model_source \ 
  --tokenizer_name $model_source \
  --train_data_file $target_train \
  --eval_data_file $target_test \
  --save_total_limit 5 \
  --block_size 128 \
  --overwrite_output_dir \
  --fp16 \
  --num_train_epochs 2 \
  --do_train \
  --per_device_train_batch_size 128 \
  --per_device_eval_batch_size 4 \
  --mlm
"""

THAI_VALUES = """
PROJECT_TOKENIZER_PATH=tokenizer
PROJECT_TRAIN_DATASET_DIR=text/train
PROJECT_EVAL_DATASET_DIR=text/eval
PROJECT_MAX_SEQ_LENGTH=64
PROJECT_LEARNING_RATE=5e-4
PROJECT_ADAM_BETA2=0.98
PROJECT_MAX_STEPS=100
PROJECT_BATCH_SIZE=16
PROJECT_GRAD_ACC_STEPS=2
PROJECT_WARMUP_STEPS=10
PROJECT_SEED=2020
PROJECT_SAVE_STEPS=50
PROJECT_EVAL_STEPS=10
PROJECT_LOG_DIR=logs
PROJECT_OUTPUT_DIR=out
PROJECT_CACHE_DIR=cache
PROJECT_TOKENIZER_TYPE=ThaiRobertaTokenizer
"""

_THAI = r"""run_mlm.py \
 --tokenizer_name_or_path "$PROJECT_TOKENIZER_PATH"  \
 --ext txt \
 --train_dir "$PROJECT_TRAIN_DATASET_DIR" \
 --eval_dir "$PROJECT_EVAL_DATASET_DIR" \
 --fp16 \
 --max_seq_length "$PROJECT_MAX_SEQ_LENGTH" \
 --learning_rate "$PROJECT_LEARNING_RATE" --weight_decay 0.01 \
 --adam_beta2 "$PROJECT_ADAM_BETA2" \
 --adam_epsilon 1e-6 \
 --max_steps "$PROJECT_MAX_STEPS" \
 --per_device_train_batch_size "$PROJECT_BATCH_SIZE" \
 --per_device_eval_batch_size "$PROJECT_BATCH_SIZE" \
 --gradient_accumulation_steps "$PROJECT_GRAD_ACC_STEPS" \
 --warmup_steps "$PROJECT_WARMUP_STEPS" \
 --seed "$PROJECT_SEED" \
 --save_steps "$PROJECT_SAVE_STEPS" \
 --logging_steps 10 \
 --save_total_limit 100 \
 --evaluation_strategy steps \
 --eval_steps "$PROJECT_EVAL_STEPS" \
 --prediction_loss_only \
 --logging_dir "$PROJECT_LOG_DIR" \
 --output_dir "$PROJECT_OUTPUT_DIR" \
 --add_space_token \
 --datasets_cache_dir "$PROJECT_CACHE_DIR" \
 --datasets_type MemmapConcatFullSentenceTextDataset \
 --architecture roberta-base \
 --tokenizer_type "$PROJECT_TOKENIZER_TYPE"
"""
THAI = f"{THAI_VALUES}\npython3 {_THAI}"

THAI_NODES = rf"""
{THAI_VALUES}
NODE_RANK=0
MASTER_ADDR=node-1-gpu
MASTER_PORT=23333
N_GPUS_PER_NODE=4
N_NODES=4
echo "Node rank: $NODE_RANK"
echo "Master Address: $MASTER_ADDR"

python3 -m torch.distributed.launch \
    --nproc_per_node="$N_GPUS_PER_NODE" \
    --nnodes="$N_NODES" \
    --node_rank "$NODE_RANK" \
    --master_addr "$MASTER_ADDR" \
    --master_port "$MASTER_PORT" {_THAI}
"""
"""The here-document puts the words of its `echo` in front of the command, too."""

GROUPBERT_1 = r"""
python examples/language-modeling/run_pretraining.py \
  --model_type groupbert \
  --tokenizer_name bert-base-uncased \
  --ipu_config_name Graphcore/bert-base-ipu \
  --dataset_name Graphcore/wikipedia-bert-128 \
  --do_train \
  --logging_steps 5 \
  --max_seq_length 128 \
  --max_steps 10500 \
  --is_already_preprocessed \
  --dataloader_num_workers 64 \
  --dataloader_mode async_rebatched \
  --lamb \
  --per_device_train_batch_size 10 \
  --gradient_accumulation_steps 1640 \
  --pod_type pod16 \
  --learning_rate 0.012 \
  --loss_scaling 16384 \
  --weight_decay 0.01 \
  --warmup_ratio 0.14 \
  --groupbert_schedule \
  --config_overrides "hidden_dropout_prob=0.0,attention_probs_dropout_prob=0.0,layer_norm_eps=0.001" \
  --ipu_config_overrides "device_iterations=1,matmul_proportion=0.22,layers_per_ipu=[1 3 4 4]" \
  --output_dir output-pretrain-groupbert-base-phase1
"""  # noqa: E501

GROUPBERT_2 = r"""
examples/language-modeling/run_pretraining.py \
  --model_type groupbert \
  --tokenizer_name bert-base-uncased \
  --model_name_or_path ./output-pretrain-groupbert-base-phase1 \
  --ipu_config_name Graphcore/bert-base-ipu \
  --dataset_name Graphcore/wikipedia-bert-512 \
  --do_train \
  --logging_steps 5 \
  --max_seq_length 512 \
  --max_steps 2038 \
  --is_already_preprocessed \
  --dataloader_num_workers 64 \
  --dataloader_mode async_rebatched \
  --lamb \
  --per_device_train_batch_size 2 \
  --gradient_accumulation_steps 2048 \
  --pod_type pod16 \
  --learning_rate 0.01 \
  --loss_scaling 128.0 \
  --weight_decay 0.01 \
  --warmup_ratio 0.13 \
  --groupbert_schedule \
  --config_overrides "hidden_dropout_prob=0.0,attention_probs_dropout_prob=0.0,layer_norm_eps=0.001" \
  --ipu_config_overrides device_iterations=1,embedding_serialization_factor=2,matmul_proportion=0.22 \
  --output_dir output-pretrain-groupbert-base-phase2
"""  # noqa: E501

BERT_BASE_1 = r"""
python examples/language-modeling/run_pretraining.py \
  --config_name bert-base-uncased \
  --tokenizer_name bert-base-uncased \
  --ipu_config_name Graphcore/bert-base-ipu \
  --dataset_name Graphcore/wikipedia-bert-128 \
  --do_train \
  --logging_steps 5 \
  --max_seq_length 128 \
  --max_steps 10500 \
  --is_already_preprocessed \
  --dataloader_num_workers 64 \
  --dataloader_mode async_rebatched \
  --lamb \
  --lamb_no_bias_correction \
  --per_device_train_batch_size 32 \
  --gradient_accumulation_steps 512 \
  --pod_type pod16 \
  --learning_rate 0.006 \
  --lr_scheduler_type linear \
  --loss_scaling 16384 \
  --weight_decay 0.01 \
  --warmup_ratio 0.28 \
  --config_overrides "layer_norm_eps=0.001" \
  --ipu_config_overrides "device_iterations=1" \
  --output_dir output-pretrain-bert-base-phase1
"""

BERT_BASE_2 = r"""
python examples/language-modeling/run_pretraining.py \
  --config_name bert-base-uncased \
  --tokenizer_name bert-base-uncased \
  --model_name_or_path ./output-pretrain-bert-base-phase1 \
  --ipu_config_name Graphcore/bert-base-ipu \
  --dataset_name Graphcore/wikipedia-bert-512 \
  --do_train \
  --logging_steps 5 \
  --max_seq_length 512 \
  --max_steps 2038 \
  --is_already_preprocessed \
  --dataloader_num_workers 128 \
  --dataloader_mode async_rebatched \
  --lamb \
  --lamb_no_bias_correction \
  --per_device_train_batch_size 8 \
  --gradient_accumulation_steps 512 \
  --pod_type pod16 \
  --learning_rate 0.002828 \
  --lr_scheduler_type linear \
  --loss_scaling 128.0 \
  --weight_decay 0.01 \
  --warmup_ratio 0.128 \
  --config_overrides "layer_norm_eps=0.001" \
  --ipu_config_overrides "device_iterations=1,embedding_serialization_factor=2,matmul_proportion=0.22" \
  --output_dir output-pretrain-bert-base-phase2
"""  # noqa: E501

BERT_LARGE_1 = r"""
python examples/language-modeling/run_pretraining.py \
  --config_name bert-large-uncased \
  --tokenizer_name bert-large-uncased \
  --ipu_config_name Graphcore/bert-large-ipu \
  --dataset_name Graphcore/wikipedia-bert-128 \
  --do_train \
  --logging_steps 5 \
  --max_seq_length 128 \
  --max_steps 10500 \
  --is_already_preprocessed \
  --dataloader_num_workers 64 \
  --dataloader_mode async_rebatched \
  --lamb \
  --lamb_no_bias_correction \
  --per_device_train_batch_size 8 \
  --gradient_accumulation_steps 2048 \
  --pod_type pod16 \
  --learning_rate 0.006 \
  --lr_scheduler_type linear \
  --loss_scaling 32768 \
  --weight_decay 0.01 \
  --warmup_ratio 0.28 \
  --config_overrides "layer_norm_eps=0.001" \
  --ipu_config_overrides "matmul_proportion=[0.14 0.19 0.19 0.19]" \
  --output_dir output-pretrain-bert-large-phase1
"""

BERT_LARGE_2 = r"""
python examples/language-modeling/run_pretraining.py \
  --config_name bert-large-uncased \
  --tokenizer_name bert-large-uncased \
  --model_name_or_path ./output-pretrain-bert-large-phase1 \
  --ipu_config_name Graphcore/bert-large-ipu \
  --dataset_name Graphcore/wikipedia-bert-512 \
  --do_train \
  --logging_steps 5 \
  --max_seq_length 512 \
  --max_steps 2038 \
  --is_already_preprocessed \
  --dataloader_num_workers 96 \
  --dataloader_mode async_rebatched \
  --lamb \
  --lamb_no_bias_correction \
  --per_device_train_batch_size 2 \
  --gradient_accumulation_steps 2048 \
  --pod_type pod16 \
  --learning_rate 0.002828 \
  --lr_scheduler_type linear \
  --loss_scaling 16384 \
  --weight_decay 0.01 \
  --warmup_ratio 0.128 \
  --config_overrides "layer_norm_eps=0.001" \
  --ipu_config_overrides "matmul_proportion=[0.14 0.19 0.19 0.19]" \
  --output_dir output-pretrain-bert-large-phase2
"""

LARGER = BERT_BASE_1.replace(
    '--config_overrides "layer_norm_eps=0.001"',
    '--config_overrides="hidden_size=1024,num_attention_heads=16,num_hidden_layers=24"',
)
"""`python run_pretraining.py --config_overrides="..." [...]`, with flags for the [...]."""

LOSS_SCALING = BERT_BASE_1.rstrip() + " --auto_loss_scaling --loss_scaling 1\n"
"""`just add the flag --auto_loss_scaling to the command`; of two values the last one counts."""

ROBERTA = r"""
python examples/language-modeling/run_mlm.py \
    --model_name_or_path roberta-base  \
    --ipu_config_name Graphcore/roberta-base-ipu \
    --dataset_name wikitext \
    --dataset_config_name wikitext-2-raw-v1 \
    --per_device_train_batch_size 4 \
    --per_device_eval_batch_size 1 \
    --gradient_accumulation_steps 16 \
    --do_train \
    --do_eval \
    --num_train_epochs 5 \
    --pod_type pod16 \
    --output_dir /tmp/mlm_output \
    --ipu_config_overrides="inference_device_iterations=5" \
    --dataloader_drop_last
"""

BERT_MLM = ROBERTA.replace("roberta-base ", "bert-base-uncased ").replace(
    "Graphcore/roberta-base-ipu", "Graphcore/bert-base-ipu"
)
"""`by changing the flags: --model_name_or_path bert-base-uncased --ipu_config_name ...`"""

GPT2 = r"""
python examples/language-modeling/run_clm.py \
    --model_name_or_path gpt2 \
    --ipu_config_name Graphcore/gpt2-small-ipu \
    --dataset_name wikitext \
    --dataset_config_name wikitext-2-raw-v1 \
    --do_train \
    --do_eval \
    --num_train_epochs 30 \
    --dataloader_num_workers 64 \
    --per_device_train_batch_size 1 \
    --per_device_eval_batch_size 1 \
    --gradient_accumulation_steps 128 \
    --output_dir /tmp/clm_gpt2 \
    --logging_steps 1 \
    --learning_rate 1e-5 \
    --lr_scheduler_type linear \
    --loss_scaling 16384 \
    --weight_decay 0.01 \
    --warmup_ratio 0.1 \
    --config_overrides="activation_function=gelu" \
    --dataloader_drop_last \
    --pod_type pod16
"""

GPT2_MEDIUM = r"""
python examples/language-modeling/run_clm.py \
    --model_name_or_path gpt2-medium \
    --ipu_config_name Graphcore/gpt2-medium-ipu \
    --dataset_name wikitext \
    --dataset_config_name wikitext-2-raw-v1 \
    --do_train \
    --do_eval \
    --num_train_epochs 30 \
    --dataloader_num_workers 64 \
    --per_device_train_batch_size 1 \
    --per_device_eval_batch_size 1 \
    --gradient_accumulation_steps 256 \
    --output_dir /tmp/clm_gpt2_medium \
    --logging_steps 1 \
    --learning_rate 1e-5 \
    --lr_scheduler_type linear \
    --loss_scaling 16384 \
    --weight_decay 0.01 \
    --warmup_ratio 0.1 \
    --config_overrides="activation_function=gelu" \
    --dataloader_drop_last \
    --pod_type pod16
"""

PRINT_CONFIG = "python trainer.py --print_config"
LIGHTNING = "python trainer.py --config config.yaml"
LIGHTNING_TEST = r"""
python test.py --config lightning_logs/version_0/config.yaml --ckpt_path lightning_logs/version_0/checkpoints/epoch\=2-step\=8.ckpt
"""  # noqa: E501

VOCABULARY = (
    "python create_vocab.py --model_name_or_path bert-base-uncased --vocab_file data/vocab.txt"
)

PAIRS = r"""
python src/pretraining/create_pretraining_data.py \
  --input_file=data/train.txt \
  --output_file=data/train_128.json \
  --vocab_file=data/vocab.txt \
  --do_lower_case=True \
  --do_whole_word_mask=True \
  --max_seq_length=128 \
  --max_predictions_per_seq=20 \
  --masked_lm_prob=0.15 \
  --random_seed=12345 \
  --dupe_factor=5
"""

RUN_BERT = r"""
python -m torch.distributed.run --nproc_per_node=4 run_bert.py \
	--model_name_or_path=bert-base-uncased \
	--train_file data/train_128.json \
	--validation_file=data/dev_128.json \
  --datasets_cache_dir=data/cache \
	--do_train=True \
	--do_eval=True \
	--evaluation_strategy=steps \
	--eval_steps=5000 \
	--per_device_train_batch_size=96 \
	--per_device_eval_batch_size=192 \
	--gradient_accumulation_steps=2 \
	--eval_accumulation_steps=24 \
	--learning_rate=5e-5 \
	--weight_decay=0.01 \
	--max_steps=90000 \
	--lr_scheduler_type=linear \
	--warmup_steps=900 \
	--logging_first_step=True \
	--save_strategy=steps \
	--save_steps=5000 \
	--dataloader_drop_last=True \
	--remove_unused_columns=False \
	--label_names labels next_sentence_label \
	--logging_dir=runs \
	--dataloader_num_workers=2 \
	--output_dir=data/models/checkpoints_128
"""

RUN_BERT_512 = (
    RUN_BERT.replace("_128", "_512")
    .replace("=bert-base-uncased", "=data/models/checkpoints_128/checkpoint-90000")
    .replace("--max_steps=90000", "--max_steps=10000")
)
"""`Train also for 512-token sequences`, a tenth of the steps, from where the first phase ended."""

MEASURE_MLM = r"""
python -m torch.distributed.run --nproc_per_node=4 run_bert.py \
	--model_name_or_path=data/models/checkpoints_512/checkpoint-10000 \
	--validation_file=data/test_512.json \
  --datasets_cache_dir=data/cache \
	--do_train=False \
	--do_eval=True \
	--per_device_eval_batch_size=48 \
	--eval_accumulation_steps=24 \
	--dataloader_drop_last=False \
	--remove_unused_columns=False \
	--label_names labels \
	--logging_dir=runs_eval \
	--dataloader_num_workers=2 \
	--eval_only_mlm=True \
	--overwrite_cache=True \
	--overwrite_output_dir=True \
	--output_dir=temp
"""

MEASURE_BOTH = MEASURE_MLM.replace(
    "--label_names labels", "--label_names labels next_sentence_label"
).replace("--eval_only_mlm=True", "--eval_only_mlm=False")

LINES = {
    name.lower(): text
    for name, text in list(globals().items())
    if name.isupper() and not name.startswith("_") and "VALUES" not in name
}


def words_of(text: str) -> list[str]:
    """The words as a shell hands them over: variables replaced, lines continued. A backslash with a
    space behind it is a blank word; that a shell ends the command there is left aside."""
    assignments: dict[str, str] = {}
    kept = []
    for line in re.sub(r"\\\n", " ", re.sub(r"\\ \n", '" " ', text)).splitlines():
        match = re.fullmatch(r"([A-Za-z_]\w*)=(\S+)", line.strip())
        if match:
            assignments[match[1]] = match[2].strip('"')
        else:
            kept.append(line)
    whole = " ".join(kept)
    for name in sorted(assignments, key=len, reverse=True):
        whole = whole.replace(f"${name}", assignments[name])
    return shlex.split(whole)


IPU = (
    "run_mlm.py --model_type bert --tokenizer_name t --train_file a.txt --validation_file b.txt "
    "--output_dir o --do_train --max_steps 9"
)
"""A short line of the kit for IPUs."""
