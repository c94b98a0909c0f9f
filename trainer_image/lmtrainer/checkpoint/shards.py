"""Checkpoints in parts: every rank writes what it holds, and any number of ranks reads it back.

A part is a safetensors file whose header says where each tensor begins in the whole one, in the
words of torch.distributed.checkpoint: its HuggingFaceStorageReader puts the parts together, for
whole tensors and for any other cut. A plain checkpoint is read by it in the same way. Rank 0 begins
the folder, waits for the parts of all, verifies them and publishes, as `save` does.
"""

from __future__ import annotations

import errno
import json
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from lmtrainer.checkpoint.layout import folder_name
from lmtrainer.checkpoint.snapshot import Part, Snapshot
from lmtrainer.checkpoint.tensors import write_tensors
from lmtrainer.config import parse
from lmtrainer.config.schema import document
from lmtrainer.durable import LEFTOVER, FileFact, replace

PART_SECONDS = 900.0
"""How long the slowest rank may take to write its part."""
POLL_SECONDS = 0.05

_SHARDING = "DCP_SHARDING_INFO"
_OFFSETS = "saved_offsets"
"""Both as torch.distributed.checkpoint.hf_storage reads them."""

WEIGHTS, OPTIMIZER = "weights", "optimizer"


def tag(attempt: int) -> str:
    """Of the folder that all ranks of an attempt write into."""
    return f"{attempt}-parts"


def files_of(rank: int) -> dict[str, str]:
    """Kind of tensors -> file of a rank."""
    return {kind: f"part-{rank:05d}-{kind}.safetensors" for kind in (WEIGHTS, OPTIMIZER)}


def contribute(root: Path, snapshot: Snapshot) -> None:
    """Write this rank's part into the folder that rank 0 makes, and say that it is durable."""
    state, part = snapshot.state, snapshot.part
    assert part is not None
    folder = root / f"{LEFTOVER}{folder_name(state.position)}-{tag(state.attempt)}"
    _wait(folder, "rank 0 did not begin the checkpoint")
    facts = write_part(folder, snapshot, part)
    plain = {name: document(fact) for name, fact in facts.items()}
    replace(folder / _told(part.rank), json.dumps(plain))


def write_part(folder: Path, snapshot: Snapshot, part: Part) -> dict[str, FileFact]:
    """The files of one rank, durably."""
    names = files_of(part.rank)
    tensors = {WEIGHTS: snapshot.weights, OPTIMIZER: snapshot.optimizer}
    return {
        names[kind]: write_tensors(folder / names[kind], held, _header(held, part.offsets))
        for kind, held in tensors.items()
    }


def gather_facts(folder: Path, own: int, ranks: int) -> dict[str, FileFact]:
    """What the other ranks say of their files, once all have written them."""
    facts: dict[str, FileFact] = {}
    for rank in range(ranks):
        if rank != own:
            told = folder / _told(rank)
            _wait(told, f"rank {rank} did not write its part")
            plain = json.loads(told.read_text())
            facts |= {name: parse(FileFact, fact) for name, fact in plain.items()}
            told.unlink()
    return facts


def read_into(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors, whole or cut in any way, with what a checkpoint holds under their names."""
    # Half a second that few runs need.
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with warnings.catch_warnings():
        # That this process reads alone is meant.
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        load(dict(tensors), storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)


def read_whole(folder: Path, kind: str) -> dict[str, Tensor]:
    """All tensors of a kind, put together on the CPU."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    names: set[str] = set()
    for path in sorted(folder.glob(f"part-*-{kind}.safetensors")):
        with safe_open(path, framework="pt") as file:
            names.update(file.keys())
    known = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
    room = {}
    for name in sorted(names):
        found = known[name]
        room[name] = torch.empty(found.size, dtype=found.properties.dtype)  # type: ignore[union-attr]
    read_into(folder, room)
    return room


def _header(
    tensors: Mapping[str, Tensor], offsets: Mapping[str, tuple[int, ...]]
) -> dict[str, str]:
    begins = {name: {_OFFSETS: list(offsets[name])} for name in tensors}
    return {_SHARDING: json.dumps(begins, sort_keys=True)}


def _told(rank: int) -> str:
    return f"part-{rank:05d}.json"


def _wait(path: Path, fault: str) -> None:
    deadline = time.monotonic() + PART_SECONDS
    while not path.exists():
        if time.monotonic() >= deadline:
            raise OSError(errno.ETIMEDOUT, f"{fault} within {PART_SECONDS:g} s", str(path))
        time.sleep(POLL_SECONDS)
