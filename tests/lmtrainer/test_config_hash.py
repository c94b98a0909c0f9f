"""What of a configuration decides the weights, and which runs are therefore the same."""

from __future__ import annotations

import pytest

from lmtrainer.config import (
    ResolvedRun,
    config_hash,
    document,
    identity,
    parse,
    resolve,
)
from tests.lmtrainer.configs import PLAIN, resolved


class TestIdentity:
    def test_where_and_how_often_does_not_decide_the_weights(self):
        ours = resolved()
        theirs = resolved(
            output={"to": "pvc://other/y"},
            checkpoint={"everySteps": 7},
            evaluate={"everySteps": 3},
            threadsPerProcess=9,
            data={**PLAIN["data"], "cache": "pvc://scratch/c"},
        )
        assert config_hash(ours) == config_hash(theirs)

    @pytest.mark.parametrize(
        "fields",
        [
            {"seed": 1},
            {"precision": "bf16"},
            {"model": {"type": "bert", "preset": "mini"}},
            {"phases": [{"name": "main", "steps": 101}]},
            {"data": {"train": ["pvc://corpus/*.md"]}},
            {"optimizer": {"weightDecay": 0.1}},
        ],
    )
    def test_what_decides_the_weights_is_in_the_hash(self, fields):
        assert config_hash(resolved()) != config_hash(resolved(**fields))

    def test_how_a_batch_is_cut_does_not_decide_the_weights(self):
        cut = [{"name": "main", "steps": 100, "microBatchSize": 8}]
        assert config_hash(resolved(phases=cut)) == config_hash(resolved())

    def test_newer_software_goes_on_with_the_hash_that_was_frozen(self):
        """Older software wrote the plan; by today's rules the hash would come out otherwise."""
        older = parse(ResolvedRun, {**document(resolved()), "configHash": "of-older-software"})
        assert config_hash(older) == "of-older-software"
        assert config_hash(resolve(older, precision="fp32", threads=2)) == "of-older-software"
        assert "configHash" not in identity(older)

    def test_a_preset_and_its_sizes_written_out_are_the_same_run(self):
        sizes = {"layers": 2, "hiddenSize": 128, "heads": 2, "intermediateSize": 512}
        written = resolved(model={"type": "bert", "config": sizes})
        assert identity(written) == identity(resolved())
