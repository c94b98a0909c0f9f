"""Texts that the kubelet must pass on as they are written.

In values of variables, commands and arguments the kubelet reads `$$` as one dollar and `$(NAME)` as
a variable (Kubernetes, "Define dependent environment variables").
"""

from __future__ import annotations


def literal(text: str) -> str:
    """`text` so that the kubelet gives it back unchanged. Every dollar is doubled: to double that
    of `$(` alone would turn `$$(NAME)` into a dollar and a variable."""
    return text.replace("$", "$$")


def is_literal(text: str) -> bool:
    """Whether the kubelet would find no variable in it."""
    return "$(" not in text.replace("$$", "")
