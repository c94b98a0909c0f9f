"""Rows 9, 10, 16, 26, 29, 36, 110, 111, 125, 126, 129, 130: what is said by the
command lines of the earlier kits. That each of those runs: tests/local/test_compat*.py."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lmtrainer.cli import main
from lmtrainer.compat import RunStep
from lmtrainer.config.architecture import PRESETS
from tests.lmtrainer.compat.fakes import BERT, Drawer, changed, note, run_of, taken, told
from tests.lmtrainer.compat.lines import IPU, LINES


def with_config(**more: object) -> tuple[str, Drawer]:
    text = LINES["tutorial"].replace("/output/bert/tokens", "m")
    return text, Drawer({"m/config.json": json.dumps(changed(BERT, **more))})


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
