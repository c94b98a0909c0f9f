"""What is saved is what comes back, and transformers loads the folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
)

from lmtrainer.checkpoint import (
    Snapshot,
    State,
    load,
    load_weights,
    read_tensors,
    save,
    verify,
    write_tensors,
)
from lmtrainer.contract.reports import Position

Make = Callable[..., Snapshot]


def unfenced() -> None:
    """Nobody else writes here."""


def test_everything_comes_back_bit_for_bit(
    tmp_path: Path, make_snapshot: Make, config_hash: str
) -> None:
    saved = make_snapshot(7, phase="long", index=2, attempt=3)
    checkpoint = save(tmp_path, saved, keep=2, fence=unfenced)
    assert checkpoint.path == tmp_path / "2-long-step-00000007"
    assert checkpoint.position == Position(phase_index=2, step=7, phase="long")
    assert (checkpoint.job_uid, checkpoint.attempt) == ("job-a", 3)
    assert verify(checkpoint.path, config_hash) == checkpoint
    found = load(checkpoint)
    assert found.state == saved.state
    assert found.model_config == saved.model_config
    for ours, theirs in ((saved.weights, found.weights), (saved.optimizer, found.optimizer)):
        assert set(ours) == set(theirs)
        for name, tensor in ours.items():
            assert theirs[name].dtype == tensor.dtype
            assert torch.equal(theirs[name], tensor)
    assert set(load_weights(checkpoint)) == set(saved.weights)


def test_the_software_that_wrote_it_is_on_record(tmp_path: Path, make_snapshot: Make) -> None:
    checkpoint = save(tmp_path, make_snapshot(1), keep=2, fence=unfenced)
    versions = load(checkpoint).state.versions
    assert set(versions) == {"lmtrainer", "torch", "transformers"}
    assert versions["torch"] == torch.__version__


@pytest.mark.parametrize(
    "dtype",
    [
        torch.float64,
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    ],
)
def test_tensors_of_every_type_and_shape_are_read_by_safetensors(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    tensors = {
        "matrix": torch.arange(6).reshape(2, 3).to(dtype),
        "scalar": torch.tensor(1).to(dtype),
        "empty": torch.zeros(0, 4).to(dtype),
        "strided": torch.arange(6).reshape(2, 3).t().to(dtype),
        "odd": torch.ones(3, dtype=torch.uint8),
        "ünï code": torch.ones(2).to(dtype),
    }
    write_tensors(tmp_path / "file", tensors)
    for found in (load_file(tmp_path / "file"), read_tensors(tmp_path / "file")):
        assert set(found) == set(tensors)
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert found[name].shape == tensor.shape
            assert torch.equal(found[name], tensor), name


def test_equal_tensors_in_any_order_give_equal_files(tmp_path: Path) -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(3), "c": torch.arange(2)}
    forwards = write_tensors(tmp_path / "one", tensors)
    backwards = write_tensors(tmp_path / "two", dict(reversed(tensors.items())))
    assert forwards == backwards


def test_a_type_that_cannot_be_stored_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"phase: torch\.complex64"):
        write_tensors(tmp_path / "file", {"phase": torch.zeros(1, dtype=torch.complex64)})


def test_tied_tensors_are_stored_once_and_come_back_tied(tmp_path: Path) -> None:
    weight = torch.rand(1000)
    tensors = {"z.first": weight, "a.second": weight, "half": weight[:500], "copy": weight.clone()}
    fact = write_tensors(tmp_path / "file", tensors)
    assert fact.size < 4 * 2500 + 600
    assert set(load_file(tmp_path / "file")) == {"z.first", "half", "copy"}
    found = read_tensors(tmp_path / "file")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert found["a.second"].data_ptr() == found["z.first"].data_ptr()
    assert found["copy"].data_ptr() != found["z.first"].data_ptr()


def test_tensors_without_memory_are_not_taken_for_tied(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {"a": torch.zeros(0), "b": torch.zeros(0)})
    assert set(load_file(tmp_path / "file")) == {"a", "b"}


def tiny_bert() -> Any:
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "intermediate_size": 8}
    return BertForMaskedLM(BertConfig(**sizes, num_attention_heads=2, max_position_embeddings=8))


def tiny_gpt2() -> Any:
    sizes = {"vocab_size": 20, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 8}
    return GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))


@pytest.mark.parametrize(
    ("build", "auto", "tied"),
    [
        (tiny_bert, AutoModelForMaskedLM, "cls.predictions.decoder.weight"),
        (tiny_gpt2, AutoModelForCausalLM, "lm_head.weight"),
    ],
)
def test_transformers_loads_the_folder_with_the_same_weights(
    tmp_path: Path, make_snapshot: Make, build: Callable[[], Any], auto: Any, tied: str
) -> None:
    model = build()
    plain = make_snapshot(5)
    snapshot = dataclasses.replace(
        plain, weights=model.state_dict(), model_config=model.config.to_json_string()
    )
    checkpoint = save(tmp_path, snapshot, keep=2, fence=unfenced)
    assert tied not in load_file(checkpoint.path / "model.safetensors")
    loaded, report = auto.from_pretrained(checkpoint.path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ours = model.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in loaded.state_dict().items())
    fresh = build()
    fresh.load_state_dict(load_weights(checkpoint), strict=True)
    assert all(torch.equal(ours[name], tensor) for name, tensor in fresh.state_dict().items())


def test_weights_that_are_being_trained_are_saved_as_they_are_now(
    tmp_path: Path, make_snapshot: Make
) -> None:
    live = torch.nn.Parameter(torch.zeros(3))
    snapshot = dataclasses.replace(make_snapshot(1), weights={"w": live})
    checkpoint = save(tmp_path, snapshot, keep=2, fence=unfenced)
    with torch.no_grad():
        live += 1
    assert torch.equal(load_weights(checkpoint)["w"], torch.zeros(3))


def test_numbers_of_the_state_come_back_exactly(tmp_path: Path, make_snapshot: Make) -> None:
    plain = make_snapshot(1)
    numbers = {"tiny": 5e-324, "third": 1 / 3, "long": 2**64 - 1, "deep": {"list": [None, True]}}
    state = dataclasses.replace(plain.state, trainer=numbers)
    checkpoint = save(tmp_path, dataclasses.replace(plain, state=state), keep=2, fence=unfenced)
    assert dict(load(checkpoint).state.trainer) == numbers


def test_a_state_that_json_cannot_hold_is_refused_and_leaves_nothing(
    tmp_path: Path, make_snapshot: Make
) -> None:
    plain = make_snapshot(1)
    state = dataclasses.replace(plain.state, trainer={"loss": float("nan")})
    with pytest.raises(ValueError):
        save(tmp_path, dataclasses.replace(plain, state=state), keep=2, fence=unfenced)
    assert list(tmp_path.iterdir()) == []


def test_a_position_without_a_folder_name_is_refused(tmp_path: Path, make_snapshot: Make) -> None:
    for phase in ("../up", "", "a b", "Main"):
        with pytest.raises(ValueError, match="no checkpoint can be named"):
            save(tmp_path, make_snapshot(1, phase=phase), keep=2, fence=unfenced)


def test_saving_a_step_again_keeps_the_checkpoint_that_verifies(
    tmp_path: Path, make_snapshot: Make
) -> None:
    first = save(tmp_path, make_snapshot(5), keep=2, fence=unfenced)
    again = save(tmp_path, make_snapshot(5, attempt=2), keep=2, fence=unfenced)
    assert again == first
    assert load(again).state.attempt == 1


def test_saving_a_step_again_sets_aside_the_checkpoint_that_does_not_verify(
    tmp_path: Path, make_snapshot: Make
) -> None:
    first = save(tmp_path, make_snapshot(5), keep=2, fence=unfenced)
    (first.path / "config.json").write_text("{}")
    again = save(tmp_path, make_snapshot(5, attempt=2), keep=2, fence=unfenced)
    assert load(again).state.attempt == 2
    assert (tmp_path / ".bad-0-main-step-00000005-1" / "config.json").read_text() == "{}"


def test_no_file_holds_a_pickle(tmp_path: Path, make_snapshot: Make) -> None:
    checkpoint = save(tmp_path, make_snapshot(5), keep=2, fence=unfenced)
    for file in checkpoint.path.iterdir():
        if file.suffix == ".json":
            json.loads(file.read_text())
        else:
            assert load_file(file)


def test_a_state_needs_nothing_but_its_position_and_owner() -> None:
    position = Position(phase_index=0, step=0, phase="main")
    state = State(position=position, job_uid="a", attempt=1, config_hash="b", world_size=1)
    assert state.tokens_seen == 0 and dict(state.trainer) == {}
