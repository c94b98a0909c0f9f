"""Sentences with [MASK], filled in by the model: what a person looks at first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from lmtrainer.config.evaluation import MASK
from lmtrainer.dataset.batches import Batch
from lmtrainer.models.objective import target_logits, to_device
from lmtrainer.vocab import cutter

CANDIDATES = 5


def fill(model: Any, folder: Path, text: str, *, device: torch.device) -> dict[str, Any]:
    """The best candidates for every [MASK] of `text`, and the text with the best ones put in.

    `folder` holds the tokenizer. The form is that of `fill` in evaluation.json.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    cut = cutter(folder) or str
    shown = tokenizer.mask_token.join(map(cut, text.split(MASK)))
    ids = np.array(tokenizer(shown)["input_ids"], dtype=np.int64)
    targets = np.flatnonzero(ids == tokenizer.mask_token_id)
    row = Batch(
        tokens=ids,
        positions=np.arange(len(ids), dtype=np.int64),
        lengths=(len(ids),),
        targets=targets,
        labels=np.zeros(len(targets), dtype=np.int64),
    )
    model.eval()
    with torch.inference_mode():
        chances = target_logits(model, to_device(row, device)).float().softmax(-1)
    top = chances.topk(min(CANDIDATES, chances.shape[-1]), dim=-1)
    filled = text
    candidates = []
    for values, places in zip(top.values.tolist(), top.indices.tolist(), strict=True):
        words = [tokenizer.decode([place]).strip() for place in places]
        filled = filled.replace(MASK, words[0], 1)
        candidates.append(
            [{"token": w, "probability": p} for w, p in zip(words, values, strict=True)]
        )
    return {"text": text, "filled": filled, "candidates": candidates}
