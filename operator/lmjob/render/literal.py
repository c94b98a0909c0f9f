"""Texts that the kubelet must pass on as they are written."""

from __future__ import annotations


def literal(text: str) -> str:
    """`text` so that the kubelet's expansion of `$(NAME)` gives it back unchanged.

    In values of variables, commands and arguments the kubelet reads `$$` as one dollar and
    `$(NAME)` as a variable. Doubling only the dollar of `$(` would leave `$$(NAME)` a hole, so every
    dollar is doubled.
    """
    return text.replace("$", "$$")
