"""What pods ask for: amounts as Kubernetes writes them, requests and limits."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmjob.api.spec.quantities import Quantity
from tests.lmjob.bodies import mistakes_in_pods


class TestQuantities:
    @pytest.mark.parametrize(
        ("written", "amount"),
        [
            ("4", "4"),
            (8, "8"),
            (2.0, "2"),
            ("250m", "0.25"),
            ("16Gi", 16 * 1024**3),
            ("1.5Gi", 3 * 1024**3 // 2),
            ("100M", "100000000"),
            ("1e3", "1000"),
            ("5E-1", "0.5"),
            ("2E", 2 * 10**18),
            (".5", "0.5"),
            ("+3", "3"),
            ("100n", "0.0000001"),
        ],
    )
    def test_amounts_of_kubernetes_are_read(self, written, amount):
        assert Quantity.from_document(written).amount == Decimal(amount)

    @pytest.mark.parametrize(
        ("written", "way_out"),
        [
            ("4 cores", 'write "4"'),
            ("16GB", 'write "16G"'),
            ("16 GiB", 'write "16Gi"'),
            ("16gi", 'write "16Gi"'),
            ("250 m", 'write "250m"'),
            ("much", "such as 4, 250m or 16Gi"),
            ("", "such as 4, 250m or 16Gi"),
            ("1e999999999", "such as 4"),
            ("4\n", 'write "4"'),
            (True, "such as 4"),
            ([], "such as 4"),
            (0.5, 'write "0.5"'),
        ],
    )
    def test_other_texts_are_refused_with_what_was_meant(self, written, way_out):
        (message,) = mistakes_in_pods(resources={"limits": {"memory": written}})
        assert message.startswith("spec.pods.resources.limits.memory: is not a quantity (got ")
        assert way_out in message

    def test_an_amount_beyond_64_bits_is_refused(self):
        (message,) = mistakes_in_pods(resources={"limits": {"cpu": 10**400}})
        assert "limits.cpu: must fit in 64 bits (got an integer of 1329 bits)" in message

    def test_a_negative_amount_is_refused(self):
        (message,) = mistakes_in_pods(resources={"limits": {"cpu": -1}})
        assert "must not be negative (got -1)" in message

    @settings(deadline=None)
    @given(st.decimals(0, 10**17, places=3), st.sampled_from(["", "m", "k", "M", "Ki", "Gi", "e2"]))
    def test_a_suffix_scales_exactly(self, number, suffix):
        units = {"": 1, "m": Decimal("0.001"), "k": 1000, "M": 10**6, "Ki": 1024, "Gi": 2**30}
        unit = Decimal(units.get(suffix, 100))
        assert Quantity.from_document(f"{number:f}{suffix}").amount == number * unit


class TestResources:
    @pytest.mark.parametrize(
        ("resources", "message"),
        [
            ({"limits": {"gpu": 1}}, "limits.gpu: unknown resource (got 1); did you mean nvidia"),
            ({"limits": {"disk": 1}}, "limits.disk: unknown resource (got 1); known: cpu, memory"),
            (
                {"limits": {"nvidia.com/gpu": "0.5"}},
                'limits["nvidia.com/gpu"]: must be a whole number of devices (got 0.5)',
            ),
            (
                {"requests": {"nvidia.com/gpu": 1}},
                'requests["nvidia.com/gpu"]: a device needs a limit (got 1); move it to limits',
            ),
            (
                {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
                'requests["nvidia.com/gpu"]: must equal the limit 2 (got 1)',
            ),
            (
                {"limits": {"memory": "512m"}},
                "limits.memory: is a part of one byte (got 512m); did you mean 512Mi?",
            ),
            (
                {"requests": {"cpu": "1.5"}, "limits": {"cpu": "1499m"}},
                "requests.cpu: the cpu request exceeds the limit 1499m (got 1.5)",
            ),
            ({"limits": {"a b/c": 1}}, 'limits["a b/c"]: is not the name of a resource'),
            ({"limit": {}}, "limit: unknown field; did you mean spec.pods.resources.limits?"),
        ],
    )
    def test_wrong_resources_are_refused(self, resources, message):
        (found,) = mistakes_in_pods(resources=resources)
        assert found.startswith(f"spec.pods.resources.{message}")

    def test_equal_amounts_in_other_spellings_are_no_mistake(self):
        assert (
            mistakes_in_pods(resources={"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}}) == []
        )
