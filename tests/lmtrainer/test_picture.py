"""The loss curve is a picture; its smoothing follows the losses."""

import pytest

from lmtrainer.evaluate import picture


def test_the_loss_curve_is_a_png_with_something_on_it(tmp_path):
    rows = [{"loss": 8 - step / 50} for step in range(100)]
    rows.insert(50, {"heldOutLoss": 7.5})
    path = tmp_path / "loss.png"
    picture.draw(rows, path, baseline=6.6)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) > 10_000


def test_a_run_of_one_step_can_be_drawn(tmp_path):
    picture.draw([{"loss": 8.0}], tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 1000


def test_smoothing_starts_without_bias_and_follows_a_level():
    assert picture._smooth([3.0] * 500) == pytest.approx([3.0] * 500)
    step = picture._smooth([10.0] * 500 + [0.0] * 500)
    assert 0 < step[505] < 10
    assert step[-1] == pytest.approx(0, abs=1e-6)


def test_held_out_points_stand_at_their_step():
    rows = [{"loss": 1.0}, {"loss": 1.0}, {"heldOutLoss": 5.0}, {"loss": 1.0}, {"heldOutLoss": 4.0}]
    assert picture._held_out(rows) == [(2, 5.0), (3, 4.0)]
