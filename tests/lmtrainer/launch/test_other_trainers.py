"""Scripts for HF Trainer, Accelerate and Lightning run unchanged, as two ranks of a node."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).with_name("scripts")


def run(start_node: Any, output: Path, name: str) -> Any:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), str(output)]
    env = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    node = start_node.program(command, output=output, nproc_per_node=2, env=env)
    word = node.end(seconds=120)
    assert word.exit_type == "SUCCEEDED", node.output
    return node


def need(library: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed here")


def test_hf_trainer(start_node: Any, tmp_path: Path) -> None:
    need("accelerate")
    node = run(start_node, tmp_path / "o", "hf_trainer")
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert {"checkpoint-2", "checkpoint-4", "model.safetensors"} <= names
    assert "'loss'" in node.output


def test_accelerate(start_node: Any, tmp_path: Path) -> None:
    need("accelerate")
    run(start_node, tmp_path / "o", "accelerate_loop")
    assert (tmp_path / "o/model.safetensors").is_file()


def test_lightning(start_node: Any, tmp_path: Path) -> None:
    need("lightning")
    run(start_node, tmp_path / "o", "lightning_fit")
    assert (tmp_path / "o/line.ckpt").is_file()
