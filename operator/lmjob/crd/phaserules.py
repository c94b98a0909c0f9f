"""Rules of phases, in CEL, and of what a whole run asks of them."""

from __future__ import annotations

import dataclasses

from lmjob.crd.cel import Cel, default_of, given, literal, or_else, said, told
from lmjob.crd.modelrules import from_scratch, size_of
from lmtrainer.config.model import OBJECTIVES, TRAINABLE
from lmtrainer.config.phase import Phase
from lmtrainer.config.shares import share_mistakes

_OBJECTIVES = literal(dict(OBJECTIVES))
_TRAINABLE = literal({family: list(objectives) for family, objectives in TRAINABLE.items()})
_TRAINABLE_TOLD = literal({family: " or ".join(all_) for family, all_ in TRAINABLE.items()})


def phase_rules() -> tuple[Cel, ...]:
    """Rules of one phase."""
    size = or_else("self.globalBatchSize", default_of(Phase, "global_batch_size"))
    rate = or_else("self.learningRate", default_of(Phase, "learning_rate"))
    final = or_else("self.finalLearningRate", default_of(Phase, "final_learning_rate"))
    return (
        told(
            "!(has(self.steps) && has(self.epochs))",
            Phase(name="a", steps=1, epochs=1).mistakes(),
        ),
        told(
            "!(has(self.share) && (has(self.steps) || has(self.epochs)))",
            Phase(name="a", steps=1, share=0.5).mistakes(),
        ),
        told("has(self.steps) || has(self.epochs) || has(self.share)", Phase(name="a").mistakes()),
        Cel(
            "!has(self.steps) || !has(self.warmupSteps) || self.warmupSteps <= self.steps",
            expression=said("is more than steps %d; lower it or train longer", "self.steps"),
            field="warmupSteps",
        ),
        told(
            "!(has(self.warmupSteps) && has(self.warmupShare))",
            Phase(name="a", steps=1, warmup_steps=0, warmup_share=0.0).mistakes(),
        ),
        Cel(
            f"{final} <= {rate}",
            expression=said("is more than learningRate %s; lower it", rate),
            field="finalLearningRate",
        ),
        Cel(
            "!has(self.microBatchSize) || type(self.microBatchSize) == string"
            f" || int(self.microBatchSize) <= {size}",
            expression=said("is more than globalBatchSize %d; lower it", size),
            field="microBatchSize",
        ),
    )


def run_rules() -> tuple[Cel, ...]:
    """Rules between phases, model and objectives."""
    length = or_else("p.sequenceLength", default_of(Phase, "sequence_length"))
    limit = size_of("self.model", "maxPositions", 2)
    first = f"self.phases.map(p, {length} > {limit}).indexOf(true)"
    too_long = "[%d].sequenceLength: is more than the model's maxPositions %d; lower it or raise "
    fits = f"{_OBJECTIVES}[self.model.type]"
    told_fits = f"{_TRAINABLE_TOLD}[self.model.type]"
    family = "self.model.type"
    shared = "self.phases.exists(p, has(p.share))"
    one = Phase(name="a", steps=1)
    return (
        told(f"!has(self.steps) || {shared}", share_mistakes(1, [one])),
        told(
            f"has(self.steps) || !{shared}",
            share_mistakes(None, [dataclasses.replace(one, steps=None, share=1.0)]),
        ),
        Cel(
            f"!has(self.objective) || !has({family}) || self.objective in {_TRAINABLE}[{family}]",
            expression=said("%s trains %s; use that, or leave it out", family, told_fits),
            field="objective",
        ),
        Cel(
            f"!has({family}) || self.phases.all(p, !has(p.objective)"
            f" || p.objective in {_TRAINABLE}[{family}])",
            expression=said("an objective that %s does not train; use %s", family, told_fits),
            field="phases",
        ),
        Cel(
            f"!{from_scratch('self.model')} || self.phases.all(p, {length} <= {limit})",
            expression=said(too_long + "model.config.maxPositions", first, limit),
            field="phases",
        ),
        Cel(
            f"!has(self.evaluate) || !{given('self.evaluate.fill')} || !has({family})"
            f' || {fits} == "mlm"',
            expression=said(
                "%s has no [MASK] to fill in; remove it, or train a masked model such as bert",
                family,
            ),
            field="evaluate.fill",
        ),
    )
