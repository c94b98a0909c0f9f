"""The Lightning-style GPT-2 trainer: trainer.py, test.py, train_tokenizer.py and export_model.py,
with nested configuration files (--config), dotted flags (--model.lr) and --print_config."""

from __future__ import annotations

from lmtrainer.compat import lightning_flags
from lmtrainer.compat.command import Command, Request, Translate
from lmtrainer.compat.documents import Files, yaml_of
from lmtrainer.compat.flags import Said, Values
from lmtrainer.compat.lightning_run import run_document
from lmtrainer.compat.lightning_settings import settings_document
from lmtrainer.compat.translation import (
    ExportStep,
    PrintStep,
    RunStep,
    Step,
    TokenizerStep,
)

KIT = "lightning"
LOGS = "lightning_logs"
CONFIG = "config.yaml"


def trainer(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Train GPT-2 on a stream of text."""
    root = _version(values["trainer.default_root_dir"] or ".", request.files)
    run = run_document(values, said, request, root)
    held_out = values["model.valid_file"]
    if held_out:
        run["data"]["validation"] = {"files": [held_out]}
    step = RunStep(
        run=run,
        stages=("prepare", "train", "evaluate"),
        results=root,
        layout="lightning",
        files={CONFIG: _settings(values)},
    )
    return (step,)


def test(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Measure a checkpoint on the test text."""
    place = values["ckpt_path"]
    measured = values["model.test_file"] or ""
    if not measured:
        said.wrong("model.test_file", None, "required", "name the text to measure on")
    root = f"{place.rstrip('/')}-test"
    run = run_document(values, said, request, root)
    run["data"] |= {"train": [measured], "validation": {"files": [measured]}}
    step = RunStep(
        run=run,
        stages=("prepare", "evaluate"),
        results=root,
        layout="test",
        overwrite=True,
        model=place,
    )
    return (step,)


def export_model(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """A checkpoint as a folder that from_pretrained loads."""
    return (ExportStep(model=values["ckpt_path"], to=values["output_dir"]),)


def train_tokenizer(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
    """Train SentencePiece."""
    training = {
        "type": "unigram",
        "vocabSize": values["vocab_size"],
        "specialTokens": "sentencepiece",
        "unigram": {"sentences": values["input_sentence_size"]},
    }
    return (
        TokenizerStep(
            training=training,
            files=(values["train_file"],),
            to=values["tf_model_dir"],
            form="sentencepiece",
            beside=values["spm_model_dir"],
        ),
    )


def _settings(values: Values) -> str:
    return yaml_of(settings_document(values))


def _or_print(act: Translate) -> Translate:
    """The same, unless --print_config asks for the settings alone."""

    def translate(values: Values, said: Said, request: Request) -> tuple[Step, ...]:
        if values["print_config"]:
            return (PrintStep(text=_settings(values)),)
        return act(values, said, request)

    return translate


def _version(root: str, files: Files) -> str:
    """The next free folder, as Lightning numbers them."""
    logs = f"{root.rstrip('/')}/{LOGS}" if root != "." else LOGS
    taken = set(files.names(logs))
    number = next(n for n in range(len(taken) + 1) if f"version_{n}" not in taken)
    return f"{logs}/version_{number}"


COMMANDS = (
    *(
        Command(
            kit=KIT,
            script=script,
            flags=flags,
            translate=_or_print(translate),
            help=words,
            nested=True,
        )
        for script, flags, translate, words in (
            ("trainer.py", lightning_flags.TRAINER, trainer, "train GPT-2"),
            ("test.py", lightning_flags.TEST, test, "measure a checkpoint"),
            ("export_model.py", lightning_flags.EXPORT, export_model, "export a checkpoint"),
        )
    ),
    Command(
        kit=KIT,
        script="train_tokenizer.py",
        flags=lightning_flags.TRAIN_TOKENIZER,
        translate=train_tokenizer,
        help="train SentencePiece",
    ),
)
