"""What the flags of the earlier kits mean beyond the command lines that their guides print."""

from __future__ import annotations

import json

import pytest

from lmtrainer.compat import RunStep
from lmtrainer.compat.translation import TokenizerStep
from tests.lmtrainer.compat.fakes import BERT, FILES, Drawer, changed, note, run_of, taken, told
from tests.lmtrainer.compat.lines import LINES

TUTORIAL = LINES["tutorial"].rstrip()
IPU = "ipu:run_mlm.py --model_type bert --tokenizer_name t --output_dir o --do_train"


@pytest.mark.parametrize(
    ("flags", "steps", "share"),
    [
        ("--warmup_steps 7", 7, None),
        ("--warmup_steps 0.25", None, 0.25),
        ("--warmup_ratio 0.5", None, 0.5),
        ("--warmup_ratio 0.5 --warmup_steps 7", 7, None),
        ("", 0, None),
    ],
)
def test_a_warm_up_is_steps_or_a_share_of_them(
    flags: str, steps: int | None, share: float | None
) -> None:
    (phase,) = run_of(taken(f"{TUTORIAL} {flags}")).phases
    assert (phase.warmup_steps, phase.warmup_share) == (steps, share)


def test_one_checkpoint_alone_is_never_kept() -> None:
    found = taken(f"{TUTORIAL} --save_total_limit 1")
    assert run_of(found).checkpoint.keep == 2
    assert "survive a bad save" in note(found, "--save_total_limit")


def test_a_schedule_that_is_not_offered_is_told_with_those_that_are() -> None:
    (near,) = told(f"{TUTORIAL} --lr_scheduler_type cosin")
    assert 'must be one of linear, cosine, constant, constant_with_warmup (got "cosin")' in near
    assert 'did you mean "cosine"?' in near
    (far,) = told(f"{TUTORIAL} --lr_scheduler_type polynomial")
    assert "did you mean" not in far


def test_an_embedding_that_a_profile_cuts_is_scored_in_as_many_parts() -> None:
    files = Drawer({"p/ipu_config.json": json.dumps({"embedding_serialization_factor": 5})})
    line = f"{IPU} --train_file a --ipu_config_name p"
    assert run_of(taken(line, files)).loss_chunks == 5


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"device_iterations": 1.5}, "must be of type int (got 1.5)"),
        ({"auto_loss_scaling": 1}, "must be of type bool (got 1)"),
        ({"layers_per_ipu": 3}, "must be a list such as [1 3 4 4] (got 3)"),
        ({"matmul_proportion": ["a"]}, "must be a number or a list of them (got a list of 1)"),
        ({"seed": [1]}, "must be of type int (got a list of 1)"),
        ({"sead": 1}, "unknown key of a profile (got 1); did you mean seed?"),
    ],
)
def test_a_profile_of_hardware_is_checked(profile: dict[str, object], message: str) -> None:
    files = Drawer({"p/ipu_config.json": json.dumps(profile)})
    (wrong,) = told(f"{IPU} --train_file a --ipu_config_name p", files)
    assert message in wrong


def test_text_of_a_name_is_that_of_its_configuration_with_what_is_held_out_beside_it() -> None:
    texts = dict.fromkeys(("w/part/train.txt", "w/part/validation.txt", "w/train.txt"), "")
    inner = run_of(taken(f"{IPU} --dataset_name w --dataset_config_name part", Drawer(texts)))
    assert inner.data.train == ("w/part/train.txt",)
    assert inner.data.validation.files == ("w/part/validation.txt",)
    outer = run_of(taken(f"{IPU} --dataset_name w --dataset_config_name none", Drawer(texts)))
    assert outer.data.train == ("w/train.txt",)
    assert outer.data.validation.share == 0.05


def retrained(**wanted: object) -> tuple[str, Drawer]:
    """Training on from a BERT with a configuration that wants it otherwise."""
    texts = {"saved/config.json": BERT, "wanted/config.json": changed(BERT, **wanted)}
    files = Drawer({path: json.dumps(plain) for path, plain in texts.items()})
    line = LINES["tutorial_again"].replace("$model_source", "saved")
    return line.replace("--config_name saved", "--config_name wanted"), files


def test_a_saved_model_keeps_its_sizes_and_may_change_its_habits() -> None:
    (wrong,) = told(*retrained(hidden_size=96, hidden_dropout_prob=0.3))
    assert "asks for hiddenSize 96, the saved model has 768" in wrong
    run = run_of(taken(*retrained(initializer_range=0.5, hidden_dropout_prob=0.3)))
    assert (run.model.from_, run.model.config.dropout) == ("saved", 0.3)
    assert run.model.config.initializer_range is None, "of first weights, which there are"


def test_lightning_takes_the_ranks_that_a_launcher_started() -> None:
    line = LINES["lightning"].removeprefix("python ")
    started = f"torchrun --nnodes 2 --nproc_per_node 4 --master_addr h {line}"
    group = taken(f"{started} --trainer.gpus 1 --trainer.num_nodes 2").group
    assert (group.nodes, group.processes, group.master_addr) == (2, 4, "h")
    text = FILES.texts["config.yaml"].replace("trainer: {", "trainer: {gpus: [0, 3], ")
    assert taken(LINES["lightning"], Drawer({"config.yaml": text})).group.processes == 2


def test_lightning_runs_go_to_the_next_free_folder() -> None:
    texts = {**FILES.texts, "lightning_logs/version_0": "", "lightning_logs/version_1": ""}
    (step,) = taken(LINES["lightning"], Drawer(texts)).steps
    assert isinstance(step, RunStep)
    assert step.results == "lightning_logs/version_2"


def test_of_a_lightning_file_only_what_was_chosen_is_told() -> None:
    text = FILES.texts["config.yaml"] + "seed_everything: null\n"
    files = Drawer({"config.yaml": text.replace("precision: 16", "precision: 32")})
    said = {note.flag for note in taken(LINES["lightning"], files).notes}
    assert "--trainer.max_epochs" in said
    assert not {"--trainer.precision", "--seed_everything"} & said


def test_the_snippet_trains_as_many_tokens_as_its_class_does() -> None:
    program = "t = BertWordPieceTokenizer()\nt.train('a.txt')\nt.save_model('b')\n"
    (step,) = taken("python make.py", Drawer({"make.py": program})).steps
    assert isinstance(step, TokenizerStep)
    assert (step.training["vocabSize"], step.files, step.to) == (30000, ("a.txt",), "b")
