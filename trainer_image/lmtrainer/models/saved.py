"""The weights of a saved model: safetensors, or what older programs left, read as data alone.

Called by `models.build`. A pickle may hold a program; `weights_only` reads tensors and refuses the
rest.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from lmtrainer.faults import UserError
from lmtrainer.models.attention import PACKED

OLD_FILE = "pytorch_model.bin"
OLD_INDEX = "pytorch_model.bin.index.json"
MAX_TOLD = 10
"""Names of missing weights that are listed."""


def load(kind: type[PreTrainedModel], folder: Path, config: PretrainedConfig) -> Any:
    """The model in `folder`, in float32. UserError if weights of its body are missing."""
    old = _old_weights(folder)
    model, found = kind.from_pretrained(
        folder if old is None else None,
        config=config,
        state_dict=old,
        dtype=torch.float32,
        attn_implementation=PACKED,
        local_files_only=True,
        use_safetensors=True if old is None else None,
        output_loading_info=True,
    )
    body = f"{model.base_model_prefix}."
    pooler = f"{body}pooler."  # serves heads alone
    missing = sorted(found["missing_keys"])
    if any(name.startswith(body) and not name.startswith(pooler) for name in missing):
        raise UserError(
            f"model.from: {folder} lacks {_named(missing)}; give a folder of a whole model"
        )
    if missing:
        print(f"model.from: {folder} lacks {_named(missing)}: begun afresh", flush=True)
    return model


def _old_weights(folder: Path) -> dict[str, Tensor] | None:
    """Out of pytorch_model.bin or its parts; None where there are safetensors."""
    if any(folder.glob("*.safetensors")):
        return None
    index = folder / OLD_INDEX
    names = {OLD_FILE}
    if index.is_file():
        names = set(json.loads(index.read_text())["weight_map"].values())
    found: dict[str, Tensor] = {}
    for name in sorted(names):
        path = folder / Path(name).name
        try:
            found |= torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            raise UserError(
                f"model.from: {folder} has neither model.safetensors nor {path.name}"
            ) from None
        except (pickle.UnpicklingError, RuntimeError, EOFError) as fault:
            raise UserError(
                f"model.from: {path} is damaged or holds more than tensors "
                f"({str(fault).splitlines()[0]}); save the model as safetensors"
            ) from None
    return found


def _named(names: Iterable[str]) -> str:
    every = list(names)
    rest = f" and {len(every) - MAX_TOLD} more" if len(every) > MAX_TOLD else ""
    return ", ".join(every[:MAX_TOLD]) + rest
