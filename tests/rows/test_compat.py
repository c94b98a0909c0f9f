"""Rows 9, 10, 16, 26, 29, 36, 88 to 90, 93, 95, 110, 111, 125, 126, 129, 130: what is said by the
command lines of the earlier kits. That each of those runs: tests/local/test_compat*.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lmtrainer.cli import main
from lmtrainer.compat import RunStep
from lmtrainer.compat.translation import CompileStep
from lmtrainer.config.architecture import PRESETS
from tests.lmtrainer.compat.fakes import BERT, Drawer, changed, note, run_of, taken, told
from tests.lmtrainer.compat.lines import LINES

IPU = "run_mlm.py --model_type bert --tokenizer_name t --train_file a.txt --validation_file b.txt "
IPU += "--output_dir o --do_train --max_steps 9"
PROFILE = "--ipu_config_name p --pod_type pod16"


def with_config(**more: object) -> tuple[str, Drawer]:
    text = LINES["tutorial"].replace("/output/bert/tokens", "m")
    return text, Drawer({"m/config.json": json.dumps(changed(BERT, **more))})


def with_profile(**profile: object) -> Drawer:
    return Drawer({"p/ipu_config.json": json.dumps(profile)})


def test_row_009_a_model_file_gives_every_size_and_an_unknown_key_is_refused() -> None:
    small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 96}
    others = {"num_attention_heads": 4, "hidden_act": "relu", "layer_norm_eps": 1e-3}
    more = {"max_position_embeddings": 256, "hidden_dropout_prob": 0.0, "initializer_range": 0.01}
    sizes = run_of(taken(*with_config(**small, **others, **more))).model.architecture()
    assert (sizes.layers, sizes.hidden_size, sizes.intermediate_size) == (2, 64, 96)
    assert (sizes.heads, sizes.activation, sizes.layer_norm_epsilon) == (4, "relu", 1e-3)
    assert (sizes.max_positions, sizes.dropout, sizes.initializer_range) == (256, 0.0, 0.01)
    assert told(*with_config(hidden_sise=64)) == [
        "m: hidden_sise: unknown key for bert (got 64); did you mean hidden_size?"
    ]
    assert told(*with_config(type_vocab_size=7)) == [
        "m: type_vocab_size: is 1 or 2 here (got 7); change or remove it"
    ]
    (wrong,) = told(*with_config(model_type="berd"))
    assert "did you mean bert?" in wrong
    assert any("hiddenSize" in line for line in told(*with_config(hidden_size="wide")))


def test_row_009_robertas_positions_begin_behind_its_padding() -> None:
    text, files = with_config(model_type="roberta", max_position_embeddings=514, pad_token_id=1)
    assert run_of(taken(text, files)).model.architecture().max_positions == 512


def test_row_010_overrides_are_seen_and_a_wrong_key_fails_before_training() -> None:
    found = run_of(taken(f"{IPU} --config_overrides layer_norm_eps=0.001,hidden_size=96"))
    sizes = found.model.architecture()
    assert (sizes.layer_norm_epsilon, sizes.hidden_size) == (0.001, 96)
    assert told(f"{IPU} --config_overrides layer_norm_epps=0.001,num_hidden_layers=x,a") == [
        "--config_overrides: layer_norm_epps: unknown key for bert; did you mean layer_norm_eps?",
        '--config_overrides: num_hidden_layers: must be a whole number (got "x")',
        '--config_overrides: must be KEY=VALUE (got "a"); '
        "such as layer_norm_eps=0.001,hidden_size=1024",
    ]


def test_row_010_a_saved_model_takes_another_activation() -> None:
    run = run_of(taken(LINES["gpt2"]))
    assert run.model.from_ == "hf://openai-community/gpt2"
    assert run.model.config.activation == "gelu"


def test_row_016_a_causal_flag_on_bert_is_refused_and_a_missing_one_made_right() -> None:
    plain = LINES["tutorial"].replace("--mlm", "")
    found = taken(plain)
    assert run_of(found).objective == "mlm"
    assert "trained on masks anyway" in note(found, "--mlm")
    causal = LINES["gpt2"].replace("--model_name_or_path gpt2", "--model_name_or_path b")
    files = Drawer({"b/config.json": json.dumps(BERT)})
    assert any("bert reads both ways" in line for line in told(causal, files))
    (wrong,) = told(LINES["tutorial"].replace("/output/bert/tokens", "gpt2"))
    assert wrong.startswith("--mlm: gpt2 predicts the next token")


def test_row_026_only_the_dataset_is_built_where_that_is_asked_for() -> None:
    (step,) = taken(f"{LINES['thai'].rstrip()} --build_dataset_only --no_cuda").steps
    assert isinstance(step, RunStep)
    assert step.stages == ("prepare",)
    (whole,) = taken(LINES["thai"]).steps
    assert isinstance(whole, RunStep)
    assert whole.stages == ("prepare", "train", "evaluate")


def test_row_029_the_cache_is_made_anew_where_that_is_asked_for() -> None:
    for line in ("thai", "tutorial", "roberta"):
        assert run_of(taken(LINES[line])).data.rebuild is None
        assert run_of(taken(f"{LINES[line].rstrip()} --overwrite_cache")).data.rebuild is True


def test_row_036_caps_on_samples_are_caps_on_sequences() -> None:
    run = run_of(taken(f"{IPU} --max_train_samples 9 --max_eval_samples 4"))
    assert (run.data.max_sequences, run.data.validation.max_sequences) == (9, 4)


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
    files = Drawer({"p/ipu_config.json": json.dumps(profile)})
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


@pytest.mark.parametrize("flag", ["--prediction_loss_only", "--eval_accumulation_steps 24"])
def test_row_110_and_row_111_evaluation_keeps_no_logits_and_says_so(flag: str) -> None:
    found = taken(f"{LINES['tutorial'].rstrip()} {flag}")
    wanted = "ignored: evaluation adds up sums and keeps no logits"
    assert wanted in note(found, flag.split()[0])


def test_row_125_printed_settings_are_read_back_as_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = []
    for words in ("--model.lr 0.5 --seed_everything 7", "--config default.yaml"):
        assert main(["compat", *f"trainer.py {words} --print_config".split()]) == 0
        printed.append(capsys.readouterr().out)
        (tmp_path / "default.yaml").write_text(printed[-1])
    assert printed[0] == printed[1]
    assert (yaml.safe_load(printed[0])["model"]["lr"], "seed_everything: 7" in printed[0]) == (
        0.5,
        1,
    )


def test_row_125_a_configuration_is_printed_with_every_default_and_is_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "small.yaml").write_text(
        "data: {train: [a.txt]}\nmodel: {type: gpt2, preset: tiny}\n"
        "phases: [{name: a, steps: 3}]\noutput: {to: there}\n"
    )
    printed = []
    for name in ("small.yaml", "whole.json"):
        assert main(["run", str(tmp_path / name), "--print_config"]) == 0
        plain = json.loads(capsys.readouterr().out)
        plain.pop("configHash")
        (tmp_path / "whole.json").write_text(json.dumps(plain))
        printed.append(plain)
    assert printed[0] == printed[1]
    assert printed[0]["model"]["config"]["layers"] == 2


def test_row_126_a_line_that_cannot_be_taken_exits_with_every_mistake(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compat", *IPU.split(), "--config_overrides", "a=1", "--learning_rat", "1"]) == 65
    told = capsys.readouterr().err
    assert "--learning_rat: unknown flag; did you mean --learning_rate?" in told
    assert main(["compat", *IPU.split(), "--config_overrides", "layers=1"]) == 65
    assert "--config_overrides: layers: unknown key for bert" in capsys.readouterr().err
    assert main(["compat"]) == 0
    assert "thai:run_mlm.py" in capsys.readouterr().out
    assert main(["compat", "ipu:run_mlm.py", "--help"]) == 0
    assert "--dataloader_mode (sync): ignored:" in capsys.readouterr().out


def test_row_129_the_effective_batch_is_the_product_of_its_parts() -> None:
    found = taken(
        LINES["thai_nodes"].replace("PROJECT_GRAD_ACC_STEPS=2", "PROJECT_GRAD_ACC_STEPS=32")
    )
    phase = run_of(found).phases[0]
    assert phase.global_batch_size == phase.micro_batch_size * 32 * found.group.world_size == 8192


def test_row_130_sizes_that_a_saved_model_does_not_have_are_a_conflict() -> None:
    saved = {"model_type": "gpt2", "n_embd": 96, "n_layer": 2, "n_head": 4, "n_positions": 64}
    files = Drawer(
        {
            "config.yaml": "model: {tokenizer_model: t, train_file: a, from_pretrained: m}",
            "m/config.json": json.dumps(saved),
        }
    )
    found = taken(LINES["lightning"], files)
    assert run_of(found).model.from_ == "m"
    assert "the saved model has 2, which counts" in note(found, "--model.n_layer")
    assert told(f"{LINES['lightning']} --model.n_layer 3", files) == [
        "--model.n_layer: conflicts with model.from_pretrained, whose model has 2 (got 3); "
        "a saved model keeps its sizes: remove one of the two"
    ]
    assert taken(f"{LINES['lightning']} --model.n_layer 2", files)
    assert set(PRESETS) == {"bert", "roberta", "groupbert", "gpt2"}
