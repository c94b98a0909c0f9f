"""Rows 88 to 90, 92, 93 and 95: what the command lines of the kit for IPUs say of its hardware."""

from __future__ import annotations

import json

import pytest

from lmtrainer.compat import RunStep
from lmtrainer.compat.translation import CompileStep
from tests.lmtrainer.compat.fakes import Drawer, note, run_of, taken, told
from tests.lmtrainer.compat.lines import IPU

PROFILE = "--ipu_config_name p --pod_type pod16"


def with_profile(**profile: object) -> Drawer:
    return Drawer({"p/ipu_config.json": json.dumps(profile)})


def test_row_088_the_stages_of_a_pipeline_are_mapped_and_checked() -> None:
    layers = "--ipu_config_overrides layers_per_ipu=[1,3]".replace("[1,3]", '"[1 3 4 4]"')
    found = taken(f"{IPU} {PROFILE} {layers}")
    assert found.hardware["stageMap"] == [
        "stage 0: layers 0 to 0",
        "stage 1: layers 1 to 3",
        "stage 2: layers 4 to 7",
        "stage 3: layers 8 to 11",
    ]
    wild = taken(f"{IPU} {PROFILE}", with_profile(layers_per_ipu=[0, 3, -1, 5]))
    assert wild.hardware["stageMap"][0] == "stage 0: no layers"
    assert wild.hardware["stageMap"][2] == "stage 2: layers 3 to 6"
    assert told(f"{IPU} {PROFILE}", with_profile(layers_per_ipu=[3, 3, 3, 4])) == [
        "layers_per_ipu: adds up to 13 layers, the model has 12 (got 3 3 3 4)"
    ]


def test_row_089_a_system_of_16_with_4_stages_holds_4_replicas() -> None:
    for pod, replicas in (("pod4", 1), ("pod16", 4), ("pod64", 16)):
        found = taken(f"{IPU} --pod_type {pod}", with_profile(ipus_per_replica=4))
        assert found.hardware["replicas"] == replicas
        assert run_of(found).phases[0].global_batch_size == replicas
    assert taken(f"{IPU} --n_ipu 32").hardware["replicas"] == 8
    (unknown,) = told(f"{IPU} --pod_type pod17")
    assert unknown.startswith("--pod_type: must be one of pod4, pod8, pod16")
    (wrong,) = told(f"{IPU} {PROFILE}", with_profile(ipus_per_replica=4, replication_factor=5))
    assert "5 replicas of 4 IPUs do not fit the 16 of pod16" in wrong
    (odd,) = told(f"{IPU} {PROFILE}", with_profile(ipus_per_replica=3))
    assert "3 IPUs of a replica do not divide the 16" in odd


def test_row_090_a_profile_has_values_by_size_and_overrides_with_lists() -> None:
    sizes = {"pod4": 1, "pod16": 8, "default": 2}
    profile = with_profile(ipus_per_replica=4, device_iterations=sizes, matmul_proportion=0.2)
    line = f'{IPU} {PROFILE} --ipu_config_overrides "matmul_proportion=[0.1 0.2 0.3 0.4],seed=7"'
    found = taken(line, profile)
    fields = found.hardware["profile"]
    assert (fields["device_iterations"], fields["seed"]) == (8, 7)
    assert fields["matmul_proportion"] == [0.1, 0.2, 0.3, 0.4]
    assert run_of(found).phases[0].global_batch_size == 1 * 4 * 1 * 8
    other = taken(line.replace("pod16", "pod64"), profile)
    assert other.hardware["profile"]["device_iterations"] == 2


@pytest.mark.parametrize(
    ("profile", "overrides", "message"),
    [
        (
            {"device_iteration": 1},
            "",
            "device_iteration: unknown key of a profile",
        ),
        ({}, "seeed=1", "--ipu_config_overrides: seeed: unknown key of a profile"),
        ({}, "a=[1 2", "--ipu_config_overrides: must be KEY=VALUE"),
        ({"seed": {"pod4": 1}}, "", "p/ipu_config.json: seed: has no value for pod16"),
        (
            {"seed": {"pot4": 1, "default": 1}},
            "",
            'is no pod type (got "pot4"); did you mean',
        ),
        ({"seed": "x"}, "", "p/ipu_config.json: seed: must be of type int"),
        ({"enable_half_partials": 1}, "", "enable_half_partials: must be of type bool"),
        ({"layers_per_ipu": 4}, "", "layers_per_ipu: must be a list such as [1 3 4 4]"),
    ],
)
def test_row_090_what_a_profile_cannot_say_is_told(
    profile: dict[str, object], overrides: str, message: str
) -> None:
    more = f'--ipu_config_overrides "{overrides}"' if overrides else ""
    found = told(f"{IPU} {PROFILE} {more}", with_profile(**profile))
    assert any(message in line for line in found), found


def test_row_092_moments_that_a_profile_keeps_elsewhere_are_held_in_parts() -> None:
    for key in ("replicated_tensor_sharding", "optimizer_state_offchip"):
        found = run_of(
            taken(f"{IPU} {PROFILE}", with_profile(**{key: True, "ipus_per_replica": 4}))
        )
        assert found.parallel.strategy == "zero1"
    assert run_of(taken(f"{IPU} --pod_type pod16")).parallel.strategy == "ddp"


def test_row_093_what_has_no_meaning_here_is_listed() -> None:
    profile = with_profile(matmul_proportion=0.2, enable_half_partials=True, ipus_per_replica=4)
    found = taken(f"{IPU} {PROFILE}", profile)
    lines = [str(note) for note in found.notes if note.flag == "hardware"]
    wanted = (
        "hardware: ignored: matmul_proportion, enable_half_partials: no meaning on these devices"
    )
    assert wanted in lines
    assert found.hardware["profile"]["enable_half_partials"] is True


@pytest.mark.parametrize(
    ("profile", "to"), [({}, "o/kernels"), ({"executable_cache_dir": "./exe_cache"}, "./exe_cache")]
)
def test_row_095_compile_only_prepares_and_compiles_where_the_profile_says(
    profile: dict[str, str], to: str
) -> None:
    files = with_profile(**profile)
    line = f"{IPU} --train_file a --ipu_config_name p"
    found = taken(f"{line} --compile_only", files)
    prepared, compiled = found.steps
    assert isinstance(prepared, RunStep)
    assert isinstance(compiled, CompileStep)
    assert prepared.stages == ("prepare",)
    assert (compiled.run, compiled.to) == (prepared.run, to)
    told = note(found, "--compile_only")
    assert f"stage prepare, then `lmtrainer compile`: kernels in {to}, for runs with" in told
    assert not [n for n in found.notes if "executable_cache_dir" in str(n)], "it has a meaning"
    without = taken(line, files)
    ignored = [n for n in without.notes if "executable_cache_dir: no meaning" in str(n)]
    assert len(ignored) == len(profile)
