"""The whole configuration of a run: one tree, strict, printable, reloadable.

The classes that use a value own its default. `resolution` fills in what depends on other fields,
once, when a job is planned; the trainer only ever reads a resolved configuration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from lmtrainer.config.command import CommandConfig
from lmtrainer.config.data import DataConfig
from lmtrainer.config.divergence import DivergenceConfig
from lmtrainer.config.evaluation import EvaluateConfig
from lmtrainer.config.masking import MaskingConfig
from lmtrainer.config.mistakes import Mistake, show
from lmtrainer.config.model import OBJECTIVES, ModelConfig, Objective
from lmtrainer.config.objectives import objective_mistakes, pair_mistakes, sequence_mistakes
from lmtrainer.config.optimizer import OptimizerConfig
from lmtrainer.config.output import OUTPUT, CheckpointConfig, OutputConfig
from lmtrainer.config.pairs import PairsConfig
from lmtrainer.config.parallel import THREADS, ParallelConfig
from lmtrainer.config.phase import Phase
from lmtrainer.config.precision import LossScaleConfig, Precision
from lmtrainer.config.schema import required, setting
from lmtrainer.config.shares import share_mistakes
from lmtrainer.config.tokenizer import TokenizerConfig


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """All that the trainer needs to know. Everything about nodes and ranks comes by environment."""

    seed: int = setting(
        42, "of the data order, masks, dropout and first weights", minimum=0, maximum=2**63 - 1
    )
    precision: Precision = setting("auto", "auto: bf16 on GPUs, fp32 on CPUs")
    gradient_checkpointing: bool = setting(False, "keep less for backward, compute it again")
    torch_compile: bool = setting(False, "compile the dense parts of the model")
    loss_chunks: int = setting(
        1, "least parts in which scores of the vocabulary are computed", minimum=1, maximum=1024
    )
    loss_scale: LossScaleConfig = setting(LossScaleConfig, "for gradients too small for fp16")
    threads_per_process: int | Literal["auto"] = setting("auto", **THREADS)
    data: DataConfig = required(
        "the text", way_out='give the text, such as data: {train: ["pvc://corpus/wiki/*.txt"]}'
    )
    tokenizer: TokenizerConfig = setting(TokenizerConfig, "the tokenizer")
    model: ModelConfig = required("the model", way_out="give model.type, such as bert")
    objective: Objective | None = setting(None, "left out, clm for gpt2, else mlm")
    masking: MaskingConfig = setting(MaskingConfig, "masks of the mlm objective")
    pairs: PairsConfig | None = setting(None, "pairs of sentences of the mlm+nsp objective")
    steps: int | None = setting(
        None, "of all phases, where those have shares", minimum=1, maximum=1_000_000_000
    )
    phases: tuple[Phase, ...] = required(
        "phases of training, in order",
        min_items=1,
        max_items=100,
        way_out="give at least one, such as phases: [{name: main, steps: 9000}]",
    )
    optimizer: OptimizerConfig = setting(OptimizerConfig, "the optimizer")
    parallel: ParallelConfig = setting(ParallelConfig, "how processes share the work")
    hang_seconds: int | None = setting(
        None,
        "silence that ends a rank; left out, 240 in a group, else 1800; 0: never",
        minimum=0,
        maximum=1_000_000,
    )
    divergence: DivergenceConfig = setting(DivergenceConfig, "when the loss goes wrong")
    evaluate: EvaluateConfig = setting(EvaluateConfig, "evaluation")
    checkpoint: CheckpointConfig = setting(CheckpointConfig, "checkpoints")
    output: OutputConfig = required(**OUTPUT)

    def mistakes(self) -> Iterator[Mistake]:
        yield from self._objective_mistakes()
        yield from self._tokenized_mistakes()
        yield from share_mistakes(self.steps, self.phases)
        yield from self._length_mistakes()
        yield from self._fill_mistakes()
        names = [phase.name for phase in self.phases]
        for index, name in enumerate(names):
            if name in names[:index]:
                way_out = "checkpoints carry the name: give each phase its own"
                yield Mistake(f"phases[{index}].name", show(name), "is used twice", way_out)

    def objective_of(self, phase: Phase) -> Objective:
        """What a phase trains: its own objective, the job's, or the family's."""
        assert self.model.type is not None
        return phase.objective or self.objective or OBJECTIVES[self.model.type]

    @property
    def has_pairs(self) -> bool:
        """Does any phase train on pairs of sentences?"""
        return any(self.objective_of(phase) == "mlm+nsp" for phase in self.phases)

    @property
    def draws_pairs(self) -> bool:
        """Are pairs of sentences to be made of documents?"""
        return self.has_pairs and self.data.sequences != "instances"

    def _objective_mistakes(self) -> Iterator[Mistake]:
        if self.model.type is None:
            return
        yield from objective_mistakes(self.model.type, self.objective, self.phases)
        yield from sequence_mistakes(self.model.type, self.data)
        objectives = [self.objective_of(phase) for phase in self.phases]
        yield from pair_mistakes(self.data, self.phases, objectives)

    def _tokenized_mistakes(self) -> Iterator[Mistake]:
        if self.tokenizer.from_ is not None:
            return
        rule, about = "needs the tokenizer that made the ids", ("tokenizer.from",)
        if self.data.tokenized:
            yield Mistake("data.tokenized", "true", rule, "give tokenizer.from", about=about)
        if self.data.sequences == "instances":
            yield Mistake("data.sequences", '"instances"', rule, "give tokenizer.from", about=about)

    def _fill_mistakes(self) -> Iterator[Mistake]:
        if self.evaluate.fill and self.model.type and OBJECTIVES[self.model.type] == "clm":
            yield Mistake(
                "evaluate.fill",
                show(self.evaluate.fill),
                f"{self.model.type} has no [MASK] to fill in",
                "remove it, or train a masked model such as bert",
                about=("model.type",),
            )

    def _length_mistakes(self) -> Iterator[Mistake]:
        sizes = self.model.sizes()
        limit = sizes.max_positions if sizes else math.inf
        for index, phase in enumerate(self.phases):
            if phase.sequence_length > limit:
                yield Mistake(
                    f"phases[{index}].sequenceLength",
                    str(phase.sequence_length),
                    f"is more than the model's maxPositions {limit}",
                    "lower it or raise model.config.maxPositions",
                    about=("model.type", "model.preset", "model.config.maxPositions"),
                )


@dataclass(frozen=True, kw_only=True)
class ResolvedRun(RunConfig):
    """A configuration without "auto", as a plan keeps it and the trainer reads it."""

    config_hash: str | None = setting(
        None,
        "hash of what decides the weights, frozen with the plan: newer software, in which it would "
        "come out otherwise, goes on with the same run",
    )


Work = RunConfig | CommandConfig
"""What a group of nodes can be asked to do: train, or run a program of the user's own."""
