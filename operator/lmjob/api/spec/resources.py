"""What a pod asks of its node: CPU, memory and devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lmjob.api.spec.quantities import Quantity
from lmjob.api.spec.syntax import is_label_key
from lmtrainer.config.mistakes import Mistake, key_place
from lmtrainer.config.schema import setting

GPU = "nvidia.com/gpu"
"""The device that `auto` counts."""

OWN_RESOURCES = ("cpu", "memory", "ephemeral-storage")
BYTE_RESOURCES = ("memory", "ephemeral-storage")


def is_device(name: str) -> bool:
    """A resource of a device plug-in: whole pieces, never shared."""
    return "/" in name


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Requests are kept free for the pod; limits are the most that it gets."""

    requests: Mapping[str, Quantity] = setting(
        lambda: MappingProxyType({}),
        "what is kept free, such as {cpu: 2, memory: 8Gi}",
        max_items=32,
    )
    limits: Mapping[str, Quantity] = setting(
        lambda: MappingProxyType({}),
        "the most that it gets, such as {nvidia.com/gpu: 8}",
        max_items=32,
    )

    def mistakes(self) -> Iterator[Mistake]:
        for block, amounts in (("requests", self.requests), ("limits", self.limits)):
            for name, amount in amounts.items():
                yield from _amount_mistakes(key_place(block, name), name, amount)
        for name, request in self.requests.items():
            yield from self._request_mistakes(name, request)

    def _request_mistakes(self, name: str, request: Quantity) -> Iterator[Mistake]:
        where, limit = key_place("requests", name), self.limits.get(name)
        about = (key_place("limits", name),)
        if limit is None:
            if is_device(name):
                rule = "a device needs a limit"
                way_out = f"move it to limits: {name} cannot be shared"
                yield Mistake(where, request, rule, way_out, about=about)
        elif request.amount > limit.amount:
            rule = f"the {name} request exceeds the limit {limit}"
            yield Mistake(where, request, rule, "lower it or raise the limit", about=about)
        elif is_device(name) and request.amount < limit.amount:
            rule = f"must equal the limit {limit}"
            yield Mistake(where, request, rule, "leave the request out", about=about)

    @property
    def gpus(self) -> int:
        amount = self.limits.get(GPU)
        return int(amount.amount) if amount else 0

    @property
    def cpu(self) -> Quantity | None:
        """The CPU that a pod can count on: its limit, else its request."""
        return self.limits.get("cpu") or self.requests.get("cpu")


def _amount_mistakes(where: str, name: str, amount: Quantity) -> Iterator[Mistake]:
    if name not in OWN_RESOURCES and not name.startswith("hugepages-") and not is_device(name):
        way_out = (
            f"did you mean {GPU}?"
            if "gpu" in name.lower()
            else f"known: {', '.join(OWN_RESOURCES)}"
        )
        yield Mistake(where, amount, "unknown resource", way_out)
    elif not is_label_key(name):
        yield Mistake(where, amount, "is not the name of a resource", "such as nvidia.com/gpu")
    elif is_device(name) and amount.amount % 1:
        yield Mistake(where, amount, "must be a whole number of devices", "write 1, 2, ...")
    elif name in BYTE_RESOURCES and amount.suffix in ("n", "u", "m"):
        meant = f"did you mean {amount[:-1]}Mi?" if amount.suffix == "m" else "such as 16Gi"
        yield Mistake(where, amount, "is a part of one byte", meant)


def overridden(base: Resources, own: Resources) -> Resources:
    """A resource named in `own` replaces both its request and its limit in `base`."""
    named = {*own.requests, *own.limits}
    requests = {k: v for k, v in base.requests.items() if k not in named} | dict(own.requests)
    limits = {k: v for k, v in base.limits.items() if k not in named} | dict(own.limits)
    return Resources(requests=MappingProxyType(requests), limits=MappingProxyType(limits))


def at_most_devices(resources: Resources, most: int) -> Resources:
    """The same with at most so many of each device; 0 leaves devices out."""

    def cut(amounts: Mapping[str, Quantity]) -> Mapping[str, Quantity]:
        kept = {
            name: Quantity(str(most)) if is_device(name) and amount.amount > most else amount
            for name, amount in amounts.items()
            if most or not is_device(name)
        }
        return MappingProxyType(kept)

    return Resources(requests=cut(resources.requests), limits=cut(resources.limits))
