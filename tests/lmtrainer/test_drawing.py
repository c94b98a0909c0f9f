"""Text that is drawn at random: where windows lie."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.text import drawing
from lmtrainer.text.drawing import draw
from lmtrainer.text.files import TextFile


@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=9),
    share=st.floats(0.01, 1.2),
    seed=st.integers(0, 9),
    smallest=st.integers(1, 500),
)
@settings(deadline=None)
def test_windows_are_apart_and_in_proportion(
    sizes: list[int], share: float, seed: int, smallest: int
) -> None:
    total = sum(sizes)
    wanted = int(total * share)
    most = min(wanted, total)
    if not most:
        return
    names: list[TextFile] = [Path(f"{number}") for number in range(len(sizes))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "SMALLEST", smallest)
        patch.setattr(drawing, "size_of", lambda file: sizes[int(str(file))])
        windows = draw(names, wanted, seed)
    count = min(max(most // smallest, 1), drawing.PLACES)
    drawn = 0
    for name, size in zip(names, sizes, strict=True):
        behind = 0
        for window in windows.get(name, ()):
            assert behind <= window.begin < window.end <= size
            behind = window.end
            drawn += window.size
        mine = sum(window.size for window in windows.get(name, ()))
        assert abs(mine - size * most / total) <= 2 * (most / count) + count
    assert most - count < drawn <= most
