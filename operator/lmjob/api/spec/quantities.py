"""Amounts as Kubernetes writes them: 4, 250m, 16Gi, 1e3. Kept as the user spelled them."""

from __future__ import annotations

import math
import re
from decimal import Decimal

_SUFFIXES = {
    "": Decimal(1),
    **{name: Decimal(10) ** power for name, power in zip("num", (-9, -6, -3), strict=True)},
    **{name: Decimal(1000) ** power for power, name in enumerate("kMGTPE", start=1)},
    **{f"{name}i": Decimal(1024) ** power for power, name in enumerate("KMGTPE", start=1)},
}
_QUANTITY = re.compile(
    r"(?P<sign>[+-]?)(?P<number>[0-9]{1,18}(\.[0-9]{0,9})?|\.[0-9]{1,9})"
    r"((?P<suffix>[numkMGTPE]|[KMGTPE]i)?|[eE](?P<power>[+-]?[0-9]{1,2}))"
)

# What people write, in lower case -> what Kubernetes reads.
_MEANT = {
    **dict.fromkeys(("core", "cores", "cpu", "cpus", "vcpu", "vcpus", "b", "byte", "bytes"), ""),
    **{f"{prefix.lower()}b": prefix for prefix in ("k", "M", "G", "T", "P")},
    **{f"{prefix.lower()}ib": f"{prefix}i" for prefix in ("K", "M", "G", "T", "P")},
    **{f"{prefix.lower()}i": f"{prefix}i" for prefix in ("K", "M", "G", "T", "P")},
    "g": "G",
    "t": "T",
    "kb": "k",
}
EXAMPLES = "write a number with a suffix, such as 4, 250m or 16Gi"


class Quantity(str):
    """A checked amount. `document` prints it as it was written, numbers as text."""

    def __new__(cls, text: str = "0") -> Quantity:
        return super().__new__(cls, text)

    @classmethod
    def from_document(cls, raw: object) -> Quantity:
        """Read a string or a whole number; ValueError(rule, way out) if it is no amount. A number
        with a fraction is none to an API server, where a field is int-or-string."""
        if isinstance(raw, float) and not raw.is_integer():
            way_out = f'write "{_text(raw)}"' if math.isfinite(raw) else EXAMPLES
            raise ValueError("is not a quantity", way_out)
        match = _QUANTITY.fullmatch(_text(raw))
        if match is None:
            raise ValueError("is not a quantity", _suggestion(raw))
        if match["sign"] == "-":
            raise ValueError("must not be negative", EXAMPLES)
        return cls(match[0])

    @property
    def amount(self) -> Decimal:
        """The exact number: cores, bytes or pieces."""
        match = _QUANTITY.fullmatch(self)
        assert match is not None
        unit = Decimal(10) ** int(match["power"]) if match["power"] else _SUFFIXES[self.suffix]
        return Decimal(match["number"]) * unit

    @property
    def suffix(self) -> str:
        match = _QUANTITY.fullmatch(self)
        assert match is not None
        return match["suffix"] or ""


def _text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not math.isfinite(raw):
        return ""
    return format(Decimal(repr(raw)), "f").removesuffix(".0")


def _suggestion(raw: object) -> str:
    match = (
        re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", raw) if isinstance(raw, str) else None
    )
    unit = match[2] if match else ""
    meant = unit if unit in _SUFFIXES else _MEANT.get(unit.lower())
    return f'write "{match[1]}{meant}"' if match and meant is not None else EXAMPLES
