"""Each kind of step, and who carries it out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lmtrainer.compat.translation import (
    CompileStep,
    ExportStep,
    InstancesStep,
    PrintStep,
    RunStep,
    Step,
    TokenizerStep,
    Translation,
    VocabularyStep,
)
from lmtrainer.config import document

if TYPE_CHECKING:
    from lmtrainer.commands.instances import Wanted

RECORD = "compat.json"
"""What a command line was taken for, kept with its results."""


def carry_out_steps(translation: Translation) -> int:
    """All steps in order; the exit code of the first that fails, else 0. Raises what a step raises
    for a mistake of the user's."""
    for step in translation.steps:
        code = _carry_out(step, translation)
        if code:
            return code
    return 0


def _carry_out(step: Step, translation: Translation) -> int:
    if isinstance(step, RunStep):
        from lmtrainer.commands.replay.run import carry_out_run

        code = carry_out_run(step, translation.group)
        if not code and not translation.group.node_rank:
            _record(translation, Path(step.results))
        return code
    if isinstance(step, PrintStep):
        sys.stdout.write(step.text)
    elif isinstance(step, TokenizerStep | VocabularyStep):
        from lmtrainer.commands.replay import vocabularies

        vocabularies.carry_out(step)
    elif isinstance(step, InstancesStep):
        from lmtrainer.commands.instances import make

        print(f"{make(_wanted(step))} instances -> {' '.join(step.to)}", flush=True)
    elif isinstance(step, CompileStep):
        from lmtrainer.commands.compile import fill

        print(fill(Path(step.to), step.run), flush=True)
    elif isinstance(step, ExportStep):
        from lmtrainer.commands.replay import export

        export.export(step)
    return 0


def _wanted(step: InstancesStep) -> Wanted:
    """The step in the words of `lmtrainer instances`."""
    from lmtrainer.commands.instances import Wanted

    options = step.options
    return Wanted(
        text=step.files,
        to=step.to,
        tokenizer=step.vocabulary,
        lowercase=options["lowercase"],
        sequence_length=options["sequenceLength"],
        seed=options["seed"],
        masking={key: options[key] for key in ("share", "wholeWords", "maxPredictions")},
        pairs={key: options[key] for key in ("passes", "shortShare")},
    )


def _record(translation: Translation, folder: Path) -> None:
    from lmtrainer.durable import replace

    plain = {
        "kit": translation.kit,
        "script": translation.script,
        "arguments": list(translation.arguments),
        "notes": [str(note) for note in translation.notes],
        "hardware": document(translation.hardware),
    }
    replace(folder / RECORD, json.dumps(plain, indent=1) + "\n")
