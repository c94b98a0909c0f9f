"""Tensors as a safetensors file, written block by block and hashed on the way.

The format (https://github.com/huggingface/safetensors, "Format"): 8 bytes, little-endian, the
length of the header; the header, JSON, name -> dtype, shape and offsets; then the bytes of all
tensors without gaps. The library's own writer hides the errno of a full disk and reads nothing
back for a hash, so we write, and it reads.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors import safe_open
from torch import Tensor

from lmtrainer.durable import FileFact, write_new

DTYPES: Mapping[torch.dtype, str] = MappingProxyType(
    {
        torch.float64: "F64",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.int64: "I64",
        torch.int32: "I32",
        torch.int16: "I16",
        torch.int8: "I8",
        torch.uint8: "U8",
        torch.bool: "BOOL",
    }
)

_METADATA = "__metadata__"
_FORMAT = "format"


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] = MappingProxyType({})
) -> FileFact:
    """Write a new file, durably. Equal tensors in any order give equal bytes. Of names that share a
    tensor the first one is stored, as transformers does, and the others are noted beside it, as are
    `notes`."""
    return write_new(path, _blocks(tensors, notes))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU; names that shared a tensor share it again."""
    with safe_open(path, framework="pt") as file:
        found: dict[str, Tensor] = {name: file.get_tensor(name) for name in tuple(file.keys())}
        aliases = file.metadata() or {}
    for name, kept in aliases.items():
        if name != _FORMAT and kept in found:
            found.setdefault(name, found[kept])
    return found


def aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Later name -> first name of the same tensor: same memory, shape and type. Tied weights."""
    first: dict[tuple[object, ...], str] = {}
    found = {}
    for name, tensor in tensors.items():
        view = (tensor.shape, tensor.stride(), tensor.dtype)
        kept = first.setdefault((tensor.device, tensor.data_ptr(), *view), name)
        if kept != name and tensor.numel() > 0:
            found[name] = kept
    return found


def _blocks(
    tensors: Mapping[str, Tensor], notes: Mapping[str, str]
) -> Iterator[bytes | memoryview]:
    """The file, one tensor at a time: only one is ever copied to the CPU's memory."""
    tied = aliases(tensors)
    stored = [name for name in tensors if name not in tied]
    stored.sort(key=lambda name: (-tensors[name].element_size(), name))
    yield _header(tensors, stored, {**tied, **notes})
    for name in stored:
        yield _bytes(tensors[name])


def _header(tensors: Mapping[str, Tensor], stored: list[str], notes: Mapping[str, str]) -> bytes:
    """Padded with spaces, so that the widest types begin at multiples of 8 bytes."""
    header: dict[str, object] = {_METADATA: {_FORMAT: "pt", **dict(sorted(notes.items()))}}
    offset = 0
    for name in stored:
        tensor = tensors[name]
        if tensor.dtype not in DTYPES or name == _METADATA:
            raise ValueError(f"{name}: {tensor.dtype} cannot be stored under this name")
        end = offset + tensor.numel() * tensor.element_size()
        shape = list(tensor.shape)
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": shape,
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
