"""Real tokens a second of the trainer beside HF Trainer, on the CPU or one GPU: same model,
weights, batch, optimizer, schedule and data order, no dropout.

First the maths: HF Trainer is fed the very batches of the trainer, padded, and the loss of every
step must agree. Only then the speed: HF Trainer as it is used, with dynamic padding and
DataCollatorForLanguageModeling.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import numpy as np
import torch

from lmtrainer.config import RunConfig, parse, resolve
from lmtrainer.dataset import TrainingRows, open_prepared, prepare
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine, StepResult
from lmtrainer.train.loop import PhaseWork, run_phase
from tests.benchmarks.rounds import Sample, Stopwatch, in_turn, summary, table
from tests.benchmarks.train_peer import Peer
from tests.benchmarks.train_setting import WARM_UP, Setting, config_of, settle

LARGEST_DIFFERENCE: dict[str, float] = {"fp32": 1e-3, "bf16": 5e-2}
"""Between the losses of a step: bf16 has three digits, and rounds each side in its own places."""


def main(setting: Setting, *, rounds: int, steps: int, threads: int) -> dict[str, object]:
    """Run the benchmark, print and return the result. AssertionError if the maths differs."""
    torch.set_num_threads(threads)
    assert steps > WARM_UP, f"--steps: give more than the {WARM_UP} that are not measured"
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), setting, steps)
        difference = bench.compare_losses()
        print(f"largest difference of a step's loss: {difference:.1e}", flush=True)
        assert difference < LARGEST_DIFFERENCE[setting.precision], "not the same computation"
        sides = {"lmtrainer": bench.ours, "HF Trainer": bench.peer.train}
        samples = in_turn(sides, rounds)
    result = summary(samples, *sides)
    result["setting"] = vars(setting)
    result["lossDifference"] = difference
    if setting.device == "cuda":
        result["gpu"] = torch.cuda.get_device_name()
        result["teraflops"] = bench.teraflops(samples["lmtrainer"])
        print(f"{result['gpu']}: {result['teraflops']:.0f} TFLOP/s of the model's own")
    print(table(result, "real tokens/s"))
    return result


class _Bench:
    def __init__(self, folder: Path, setting: Setting, steps: int) -> None:
        self.setting = setting
        self.steps = steps
        config = parse(RunConfig, config_of(setting, steps))
        self.run = resolve(config, precision=setting.precision, threads=1)
        prepare(self.run, folder / "out", {}, lambda *_: None)
        self.prepared = open_prepared(self.run, folder / "out", {})
        self.rows = TrainingRows(self.prepared, self.run, 0)
        self.weights = self._save_weights(folder / "model")
        batches = [self.batch(step) for step in range(steps)]
        tokenizer = self.prepared.tokenizer
        self.peer = Peer(setting, batches, self.weights, tokenizer, folder / "peer")

    def _save_weights(self, folder: Path) -> Path:
        """The weights that both sides begin with, under the usual size of vocabulary."""
        torch.manual_seed(1)
        sizes = self.run.model.architecture()
        model = build.build(self.setting.family, sizes, self.prepared.vocabulary, seed=1)
        model.resize_token_embeddings(self.setting.vocabulary, mean_resizing=False)
        model.save_pretrained(folder)
        return folder

    def batch(self, step: int) -> Batch:
        (row,) = self.rows.micro_batches(step, 0, 1)
        return row

    def ours(self) -> Sample:
        return self._train_ours()[0]

    def _train_ours(self) -> tuple[Sample, list[float]]:
        world = World(0, 0, 1, torch.device(self.setting.device))
        model = build.from_folder(self.setting.family, self.weights).to(world.device)
        engine = Engine(model, self.run, world, phase_index=0)
        work = PhaseWork(
            phase=self.run.phases[0],
            index=0,
            start=0,
            steps=self.steps,
            rows=lambda step: [self.batch(step)],
        )
        watched = _Watched(self.setting.device)
        run_phase(engine, work, self.run, watched)
        settle(self.setting.device)
        return watched.watch.stop(watched.tokens), watched.losses

    def teraflops(self, samples: list[Sample]) -> float:
        """A second, of forward and backward passes through matrices and attention alone: what the
        model needs, whatever was really computed (Chowdhery et al. 2022, arXiv 2204.02311, B)."""
        needed = sum(self._flops(self.batch(step)) for step in range(WARM_UP, self.steps))
        return needed / statistics.median(sample.seconds for sample in samples) / 1e12

    def _flops(self, row: Batch) -> float:
        sizes = self.run.model.architecture()
        h, m = sizes.hidden_size, sizes.intermediate_size
        matrices = sizes.layers * (4 * h * h + 2 * h * m) * len(row.tokens)
        head = (h * self.setting.vocabulary + h * h) * len(row.targets)
        pairs = float(np.square(np.array(row.lengths, dtype=np.float64)).sum())
        return 6.0 * (matrices + head) + 12.0 * sizes.layers * h * pairs

    def compare_losses(self) -> float:
        """Largest difference between the losses of the two sides, on the same masked batches."""
        theirs = self.peer.losses()
        ours = self._train_ours()[1]
        return float(np.abs(np.array(ours) - np.array(theirs)).max())


class _Watched:
    """What happens around our steps: the same watch."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.watch = Stopwatch()
        self.losses: list[float] = []
        self.tokens = 0

    def stop_requested(self) -> bool:
        return False

    def stepped(self, step: int, rate: float, result: StepResult) -> None:
        self.losses.append(result.loss)
        self.tokens += result.tokens
        if step == WARM_UP:
            settle(self._device)
            self.tokens = 0
            self.watch.start()

    def evaluate(self, step: int) -> None:
        pass

    def save(self, step: int, *, wait: bool) -> None:
        pass
