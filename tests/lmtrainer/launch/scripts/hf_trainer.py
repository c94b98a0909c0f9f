"""A script as people write it for HF Trainer and torchrun; it knows nothing of jobs."""

import sys

import torch
from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint


class Text(torch.utils.data.Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        ids = torch.arange(index, index + 8) % 30
        return {"input_ids": ids, "labels": ids}


config = BertConfig(
    vocab_size=30,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=1,
    intermediate_size=8,
    max_position_embeddings=8,
)
given = TrainingArguments(
    output_dir=sys.argv[1],
    max_steps=4,
    save_steps=2,
    logging_steps=1,
    per_device_train_batch_size=2,
    use_cpu=True,
    disable_tqdm=True,
    ddp_backend="gloo",
)
trainer = Trainer(model=BertForMaskedLM(config), args=given, train_dataset=Text())
assert given.world_size == 2, given.world_size
trainer.train(resume_from_checkpoint=get_last_checkpoint(sys.argv[1]))
trainer.save_model()
