"""Row 128: a copy of the dataset on the disk of each node."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmtrainer.dataset import open_prepared
from lmtrainer.faults import UserError
from tests.rows.prepared import TEXT, configured, digest, ids, made


def test_row_128_training_reads_a_copy_on_its_own_node(tmp_path: Path) -> None:
    run = configured(data={"copyToNode": True, "cache": str(tmp_path / "far")})
    far = made(tmp_path, run, TEXT)
    node = tmp_path / "node"
    claims = {"text": str(tmp_path / "text")}
    ranks = [open_prepared(run, tmp_path / "out", claims, node=node) for _ in range(2)]
    assert all(node in rank.dataset.parents for rank in ranks)
    assert ranks[0].dataset == ranks[1].dataset
    assert digest(ranks[0].dataset) == digest(far.dataset)
    assert ids(ranks[0].train) == ids(far.train)
    (far.dataset / "train-00000.tokens").unlink()
    again = open_prepared(run, tmp_path / "out", claims, node=node)
    assert ids(again.train) == ids(ranks[0].train)
    with pytest.raises(UserError, match=r"train-00000.tokens is missing"):
        open_prepared(run, tmp_path / "out", claims)


def test_row_128_a_copy_that_went_wrong_is_not_kept(tmp_path: Path) -> None:
    run = configured(data={"copyToNode": True, "cache": str(tmp_path / "far")})
    far = made(tmp_path, run, TEXT)
    path = far.dataset / "train-00000.tokens"
    whole = path.read_bytes()
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    node, claims = tmp_path / "node", {"text": str(tmp_path / "text")}
    with pytest.raises(UserError, match=r"train-00000.tokens was changed: its sha256 does not"):
        open_prepared(run, tmp_path / "out", claims, node=node)
    path.write_bytes(whole)
    assert ids(open_prepared(run, tmp_path / "out", claims, node=node).train) == ids(far.train)
