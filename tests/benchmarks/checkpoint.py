"""How long a checkpoint holds training up, beside torch.save of the same model and optimizer to the
same disk.

Of ours two things are measured: `held`, the time in which the training thread waits for the save
(its copy is made while the next step computes its gradients), and `lost`, what the steps until the
checkpoint is durable take longer than usual: the thread that hashes, writes and reads back uses
cores and memory, too. torch.save neither flushes, hashes nor verifies.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lmtrainer.checkpoint import BackgroundSaver, Snapshot, State, save
from lmtrainer.config import RunConfig, config_hash, parse, resolve
from lmtrainer.contract.reports import Position
from lmtrainer.dataset.batches import Batch
from lmtrainer.models import build
from lmtrainer.parallel.world import World
from lmtrainer.train.engine import Engine
from lmtrainer.train.state import take
from lmtrainer.vocab import Vocabulary

WARM_UP = 3
USUAL = 6
"""Steps without a save, before each one with."""
SEQUENCES, LENGTH = 8, 128


def main(*, rounds: int, preset: str, threads: int) -> dict[str, object]:
    """Run the benchmark, print and return the result."""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        bench = _Bench(Path(folder), preset)
        bench.ours()  # room for the copy is made once
        bench.peer()
        found = [(*bench.ours(), bench.peer()) for _ in range(rounds)]
    held, lost, peer = (list(column) for column in zip(*found, strict=True))
    result: dict[str, object] = {
        "megabytes": bench.megabytes,
        "stepSeconds": statistics.median(bench.usual),
        "held": _told(held, peer),
        "lost": _told(lost, peer),
        "torchSave": {"median": statistics.median(peer), "rounds": peer},
    }
    print(f"{bench.megabytes} MB of weights and moments; step {result['stepSeconds']:.2f} s")
    print(f"{'torch.save':<34}{statistics.median(peer):>8.3f} s")
    for name, seconds in (
        ("lmtrainer, training waits", held),
        ("lmtrainer, steps lose in all", lost),
    ):
        share = statistics.median(seconds) / statistics.median(peer)
        print(f"{name:<34}{statistics.median(seconds):>8.3f} s {share:>7.1%}")
    return result


def _told(seconds: list[float], peer: list[float]) -> dict[str, object]:
    return {
        "median": statistics.median(seconds),
        "rounds": seconds,
        "ratio": statistics.median(seconds) / statistics.median(peer),
        "ratioByRound": [a / b for a, b in zip(seconds, peer, strict=True)],
    }


class _Bench:
    def __init__(self, folder: Path, preset: str) -> None:
        plain = {
            "data": {"train": ["unused"]},
            "model": {"type": "bert", "preset": preset},
            "phases": [{"name": "bench", "steps": 1000, "globalBatchSize": SEQUENCES}],
            "output": {"to": "unused"},
        }
        self.run = resolve(parse(RunConfig, plain), precision="fp32", threads=1)
        words = Vocabulary(size=30522, pad=0, cls=2, sep=3, mask=4, eos=3)
        model = build.build("bert", self.run.model.architecture(), words, seed=1)
        world = World(0, 0, 1, torch.device("cpu"))
        self.engine = Engine(model, self.run, world, phase_index=0)
        self.saver = BackgroundSaver()
        self.held = 0.0
        self.engine.before_update = lambda: self._hold(self.saver.staged)
        self.folder = folder
        self.step = 0
        self.usual: list[float] = []
        for _ in range(WARM_UP):
            self._train()
        state = take(self.engine, self._state())
        tensors = (*state.weights.values(), *state.optimizer.values())
        unique = {t.data_ptr(): t.numel() * t.element_size() for t in tensors}
        self.megabytes = sum(unique.values()) // 1_000_000

    def ours(self) -> tuple[float, float]:
        """Seconds that training waited, and that steps lost, until a checkpoint was durable."""
        usual = [self._train() for _ in range(USUAL)]
        self.usual += usual
        self.held, begun, steps = 0.0, time.perf_counter(), 0
        snapshot = take(self.engine, self._state())
        self._hold(lambda: self.saver.begin(snapshot, self._write))
        while self.saver._thread is not None and self.saver._thread.is_alive():
            self._train()
            steps += 1
        elapsed = time.perf_counter() - begun
        saved = self.saver.finish()
        assert saved is not None and saved.position.step == snapshot.state.position.step
        return self.held, max(0.0, elapsed - steps * statistics.median(usual))

    def peer(self) -> float:
        """Seconds of torch.save."""
        begun = time.perf_counter()
        state = {
            "model": self.engine.model.state_dict(),
            "optimizer": self.engine.optimizer.state_dict(),
        }
        torch.save(state, self.folder / "peer.pt")
        seconds = time.perf_counter() - begun
        (self.folder / "peer.pt").unlink()
        return seconds

    def _hold(self, action: Callable[[], object]) -> None:
        begun = time.perf_counter()
        action()
        self.held += time.perf_counter() - begun

    def _train(self) -> float:
        begun = time.perf_counter()
        self.engine.step([_row(self.step)], step=self.step, learning_rate=1e-5, stop=False)
        self.step += 1
        return time.perf_counter() - begun

    def _write(self, snapshot: Snapshot) -> object:
        return save(self.folder / "checkpoints", snapshot, keep=2, fence=lambda: None)

    def _state(self) -> State:
        position = Position(phase_index=0, step=self.step, phase="bench")
        return State(
            position=position,
            job_uid="bench",
            attempt=1,
            config_hash=config_hash(self.run),
            world_size=1,
        )


def _row(seed: int) -> Batch:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(5, 30522, SEQUENCES * LENGTH)
    targets = np.flatnonzero(generator.random(len(tokens)) < 0.15)
    return Batch(
        tokens=tokens,
        positions=np.tile(np.arange(LENGTH), SEQUENCES),
        lengths=(LENGTH,) * SEQUENCES,
        targets=targets,
        labels=tokens[targets],
    )
