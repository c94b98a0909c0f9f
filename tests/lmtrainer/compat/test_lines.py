"""Every command line that the guides of the earlier kits print means a run of ours, and says so."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from lmtrainer.compat.mapping import COMMANDS
from lmtrainer.compat.translation import PrintStep
from tests.lmtrainer.compat.fakes import BERT, Drawer, changed, note, run_of, taken, told
from tests.lmtrainer.compat.lines import LINES, words_of


@pytest.mark.parametrize("name", LINES)
def test_row_126_a_literal_command_line_is_taken_and_every_flag_of_it_is_told(name: str) -> None:
    found = taken(LINES[name])
    assert found.steps
    typed = {re.split("[= ]", word)[0] for word in words_of(LINES[name]) if word.startswith("--")}
    said = {note.flag for note in found.notes}
    assert typed <= said
    assert {note.fate for note in found.notes} <= {"renamed", "made right", "ignored", "recorded"}


def test_the_tutorials_command_means_masked_blocks_on_four_ranks() -> None:
    found = taken(LINES["tutorial"])
    run = run_of(found)
    (phase,) = run.phases
    assert (found.kit, found.group.world_size) == ("tutorial", 4)
    assert (phase.epochs, phase.sequence_length, phase.learning_rate) == (2.0, 128, 5e-5)
    assert (phase.micro_batch_size, phase.global_batch_size) == (128, 512)
    assert (phase.warmup_steps, run.optimizer.weight_decay) == (0, 0.0)
    assert (run.precision, run.objective, run.data.sequences) == ("fp16", "mlm", "blocks")
    assert (run.model.type, run.model.architecture().layers) == ("bert", 12)
    assert run.tokenizer.from_ == "/output/bert/tokens"
    assert run.checkpoint.keep == 5
    assert run.output.to == "/output/bert/base/run"
    assert "made right" in note(found, "--do_eval")


def test_training_on_takes_the_weights_and_drops_the_blank_word() -> None:
    found = taken(LINES["tutorial_again"])
    run = run_of(found)
    assert run.model.from_ == "/output/bert/base"
    assert run.model.resize_embeddings
    assert run.data.train == ("/dataset/train_new.txt",)
    assert "does not continue a line" in note(found, '" "')


def test_a_line_that_a_shell_has_cut_at_the_blank_says_what_is_missing() -> None:
    words = LINES["tutorial_again"].split("--tokenizer_name")[0]
    assert any("--train_data_file: required" in line for line in told(words))


def test_the_thai_command_masks_although_it_does_not_say_so() -> None:
    found = taken(LINES["thai"])
    run = run_of(found)
    (phase,) = run.phases
    assert (run.objective, run.data.sequences) == ("mlm", "sentences")
    assert run.data.train == ("text/train/*.txt",)
    assert run.data.validation.files == ("text/eval/*.txt",)
    assert (run.data.cache, run.seed, run.precision) == ("cache", 2020, "fp16")
    assert (run.optimizer.beta2, run.optimizer.epsilon) == (0.98, 1e-6)
    assert (phase.global_batch_size, phase.steps, phase.warmup_steps) == (32, 100, 10)
    assert (run.evaluate.every_steps, run.checkpoint.every_steps) == (10, 50)
    assert run.model.architecture().max_positions == 512
    assert "masked anyway" in note(found, "--mlm")


def test_each_node_of_the_thai_group_is_told_its_place() -> None:
    for rank in range(4):
        text = LINES["thai_nodes"].replace("NODE_RANK=0", f"NODE_RANK={rank}")
        found = taken(text)
        group = found.group
        assert (group.nodes, group.node_rank, group.processes) == (4, rank, 4)
        assert (group.master_addr, group.master_port) == ("node-1-gpu", 23333)
        assert run_of(found).phases[0].global_batch_size == 16 * 2 * 16
        assert "dropped" in note(found, "echo")


def test_variables_say_what_the_launchers_flags_leave_out() -> None:
    text = "python -m torch.distributed.run run_mlm.py --train_dir a --eval_dir b "
    text += "--tokenizer_name_or_path c --output_dir d"
    place = {"NODE_RANK": "1", "MASTER_ADDR": "h", "MASTER_PORT": "7", "N_NODES": "2"}
    group = taken(text, **place).group
    assert (group.nodes, group.node_rank, group.master_addr, group.master_port) == (2, 1, "h", 7)
    assert any("required for 2 nodes" in line for line in told(text, N_NODES="2"))
    assert any("must be below" in line for line in told(text, NODE_RANK="3"))


def test_of_two_scripts_of_one_name_the_flags_decide_or_a_kit_in_front() -> None:
    assert taken(LINES["thai"]).kit == "thai"
    assert taken(LINES["roberta"]).kit == "ipu"
    assert taken("train_tokenizer.py --train_file a.txt").kit == "lightning"
    line = "train_tokenizer.py --train_dir a --output_file b.json --vocab_min_freq 4"
    assert taken(line).kit == "thai"
    assert any("unknown flag" in line for line in told(f"lightning:{line}"))
    assert told("nsp:run_mlm.py") == [
        'kit: has no such script (got "nsp"); those of thai, ipu have run_mlm.py'
    ]


def test_an_unknown_flag_or_script_is_told_with_the_nearest_one() -> None:
    line = LINES["tutorial"].rstrip()
    assert told(f"{line} --block_sise 3") == [
        "--block_sise: unknown flag; did you mean --block_size?",
        '"3": belongs to no flag; remove it, or quote the value',
    ]
    assert told("run_mlmm.py") == [
        'script: is not known (got "run_mlmm.py"); did you mean run_mlm.py?'
    ]


def test_all_mistakes_are_told_at_once() -> None:
    found = told(f"{LINES['tutorial'].rstrip()} --max_steps many --learning_rate x --deepspeed a")
    assert [line.split(":")[0] for line in found] == [
        "--max_steps",
        "--learning_rate",
        "--deepspeed",
    ]


def test_the_table_of_every_script_has_a_word_for_each_flag() -> None:
    for command in COMMANDS:
        assert command.help
        assert all(flag.text for flag in command.flags.values())


def test_translating_needs_neither_torch_nor_transformers() -> None:
    code = "import lmtrainer.compat, sys; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("script", ["trainer.py", "test.py", "export_model.py"])
def test_whatever_script_prints_its_settings_runs_nothing(script: str) -> None:
    (step,) = taken(f"{script} --print_config").steps
    assert isinstance(step, PrintStep)
    assert "max_epochs: null" in step.text


def test_a_file_of_flags_that_holds_null_for_a_required_one_does_not_give_it() -> None:
    files = Drawer({"flags.json": json.dumps({"train_dir": None, "output_file": "v.json"})})
    assert told("thai:train_tokenizer.py flags.json", files) == ["--train_dir: required; text"]


def test_a_size_of_the_wrong_kind_in_a_model_file_is_told_and_breaks_nothing() -> None:
    plain = changed(BERT, model_type="roberta", max_position_embeddings="many")
    files = Drawer({"/output/bert/tokens/config.json": json.dumps(plain)})
    (wrong,) = told(LINES["tutorial"], files)
    assert "maxPositions: must be an integer" in wrong
