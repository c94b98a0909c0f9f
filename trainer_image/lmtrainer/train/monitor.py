"""What the GPUs of rank 0's node do while it trains: use, memory, temperature and power, from NVML.

Without an NVIDIA GPU, its driver or the library there are no such numbers, which is worth one
warning and no run. Called by `stages.train`; `telemetry` asks now and then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch

Monitor = Callable[[], Mapping[str, float]]
"""Names and numbers, as metrics.jsonl has them: `gpu0Utilization` (0 to 1), `gpu0MemoryBytes`,
`gpu0TemperatureCelsius`, `gpu0PowerWatts`."""


def monitor(device: torch.device, count: int) -> Monitor:
    """Of the first `count` GPUs that this process sees; of none, with a warning, where that cannot
    be had."""
    try:
        return _nvml(device, count)
    except Exception as fault:  # NVML's own classes exist only where it is installed
        print(f"warning: no GPU is monitored: {fault}", flush=True)
        return dict


def _nvml(device: torch.device, count: int) -> Monitor:
    if device.type != "cuda":
        raise RuntimeError("training runs on the CPU")
    import pynvml

    pynvml.nvmlInit()
    seen = range(min(count, torch.cuda.device_count()))
    ids = (f"GPU-{torch.cuda.get_device_properties(index).uuid}" for index in seen)
    handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in ids]

    def read() -> Mapping[str, float]:
        found: dict[str, float] = {}
        for index, handle in enumerate(handles):
            found |= {f"gpu{index}{name}": value for name, value in _numbers(pynvml, handle)}
        return found

    return read


_ASKED: Mapping[str, Callable[[Any, Any], float]] = MappingProxyType(
    {
        "Utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
        "MemoryBytes": lambda nvml, gpu: float(nvml.nvmlDeviceGetMemoryInfo(gpu).used),
        "TemperatureCelsius": lambda nvml, gpu: float(
            nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)
        ),
        "PowerWatts": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    }
)


def _numbers(nvml: Any, gpu: Any) -> Iterator[tuple[str, float]]:
    """What this GPU tells; not every one knows everything."""
    for name, ask in _ASKED.items():
        with contextlib.suppress(nvml.NVMLError):
            yield name, ask(nvml, gpu)
