"""What is trained: rules between objectives, families, lengths and the cutting of text. Called by
`config.run`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lmtrainer.config.architecture import ModelType
from lmtrainer.config.data import INSTEAD, OF_ONE_OBJECTIVE, DataConfig
from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.model import OBJECTIVES, TRAINABLE, Objective
from lmtrainer.config.pairs import SHORTEST_PAIR
from lmtrainer.config.phase import Phase


def objective_mistakes(
    family: ModelType, objective: Objective | None, phases: Sequence[Phase]
) -> Iterator[Mistake]:
    """Of objectives that a family cannot be trained for."""
    given = [("objective", objective)]
    given += [(f"phases[{n}].objective", phase.objective) for n, phase in enumerate(phases)]
    fits = " or ".join(TRAINABLE[family])
    for field, wanted in given:
        if wanted is not None and wanted not in TRAINABLE[family]:
            rule = f"{family} trains {fits}"
            way_out = f"use {fits}, or leave it out"
            yield Mistake(field, f'"{wanted}"', rule, way_out, about=("model.type",))


def sequence_mistakes(family: ModelType, data: DataConfig) -> Iterator[Mistake]:
    """Some ways to cut text are those of one objective alone."""
    sequences = data.sequences or ""
    needed = OF_ONE_OBJECTIVE.get(sequences)
    if needed is None or OBJECTIVES[family] == needed:
        return
    yield Mistake(
        "data.sequences",
        show(sequences),
        f"is for {needed}, and {family} trains {OBJECTIVES[family]}",
        f"use {INSTEAD[sequences]}",
        about=("model.type",),
    )


def pair_mistakes(
    data: DataConfig, phases: Sequence[Phase], objectives: Sequence[Objective]
) -> Iterator[Mistake]:
    """What pairs of sentences need. `objectives` are those of the phases."""
    if "mlm+nsp" not in objectives or data.sequences == "instances":
        return
    about = ("objective", "phases", "model.type")
    if data.tokenized:
        rule = "has no sentences, of which mlm+nsp makes pairs"
        yield Mistake("data.tokenized", "true", rule, "give the text, or train mlm", about=about)
    if data.sequences not in (None, "documents"):
        rule = "knows nothing of pairs of sentences, which mlm+nsp needs"
        way_out = "leave it out, or train mlm"
        yield Mistake("data.sequences", show(data.sequences), rule, way_out, about=about)
    elif data.document_rule == "line":
        rule = "makes documents of one sentence, in which none follows another"
        way_out = "use blankLine or file, with one sentence a line"
        yield Mistake("data.documents", '"line"', rule, way_out, about=about)
    yield from _too_short(phases, objectives, about)


def _too_short(
    phases: Sequence[Phase], objectives: Sequence[Objective], about: tuple[str, ...]
) -> Iterator[Mistake]:
    for index, (phase, objective) in enumerate(zip(phases, objectives, strict=True)):
        if objective == "mlm+nsp" and phase.sequence_length < SHORTEST_PAIR:
            field = f"phases[{index}].sequenceLength"
            rule = f"is less than {SHORTEST_PAIR}, the shortest pair of sentences"
            yield Mistake(field, str(phase.sequence_length), rule, "raise it", about=about[::2])
