"""A trainer of its own, for `custom-command.yaml`: plain PyTorch, data parallel, resumable.

What it knows of the job is the environment alone: RANK and WORLD_SIZE as under torchrun, and a file
for lines of progress.
"""

import argparse
import json
import os
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

EVERY = 20
"""Steps between checkpoints."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    saved = given.out / "checkpoint.pt"
    first = restore(saved, model, optimizer)
    parallel = DistributedDataParallel(model)
    for step in range(first + 1, given.steps + 1):
        generator = torch.Generator().manual_seed(1000 * step + dist.get_rank())
        inputs = torch.randn(16, 8, generator=generator)
        loss = (parallel(inputs) - inputs.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if dist.get_rank() == 0:
            tell(step=step, total=given.steps, loss=loss.item())
            if step % EVERY == 0 or step == given.steps:
                save(saved, model, optimizer, step)
                tell(checkpoint=step)
    dist.barrier()
    dist.destroy_process_group()


def restore(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Steps that are done."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"])


def save(path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Whole or not at all: written beside, renamed."""
    beside = path.with_suffix(".tmp")
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state, beside)
    beside.replace(path)


def tell(**values: float) -> None:
    """Progress, for `kubectl get lmj` and `lmjob run`."""
    with Path(os.environ["LMJOB_PROGRESS"]).open("a") as lines:
        print(json.dumps(values), file=lines)


if __name__ == "__main__":
    main()
