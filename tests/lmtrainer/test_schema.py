"""Reading documents strictly: all mistakes at once, nothing guessed; and printing them again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmtrainer.config import Mistake, MistakesError, document, parse
from lmtrainer.config.mistakes import MAX_SHOWN, key_place, overlap, show
from lmtrainer.config.schema import camel, differences, required, setting


@dataclass(frozen=True, kw_only=True)
class Wheel:
    size: int = required("inches", minimum=1, maximum=40)
    spokes: int | Literal["auto"] = setting("auto", "number", minimum=8, way_out="leave it out")


@dataclass(frozen=True, kw_only=True)
class Bicycle:
    refused: ClassVar[Mapping[str, str]] = {"engine": "a bicycle has none"}

    name: str = setting("", "what it is called", pattern="[a-z]*", pattern_help="only letters")
    kind: Literal["road", "mountain"] = setting("road", "where it goes")
    wheels: tuple[Wheel, ...] = required("front and back", min_items=1, way_out="give one")
    weight: float | None = setting(None, "kilograms", above=0, below=1000)
    lit: bool = setting(False, "has lamps")
    parts: Mapping[str, int] = setting(dict, "part -> count", minimum=0)
    from_: str | None = setting(None, "maker")
    lowest_gear: int = setting(1, "gear", minimum=1)
    highest_gear: int = setting(5, "gear", maximum=30)

    def mistakes(self) -> Iterator[Mistake]:
        if self.lowest_gear > self.highest_gear:
            rule = f"is above highestGear {self.highest_gear}"
            yield Mistake("lowestGear", str(self.lowest_gear), rule, about=("highestGear",))
        if len(self.wheels) > 2:
            yield Mistake("wheels", str(len(self.wheels)), "a bicycle has two")


@dataclass(frozen=True, kw_only=True)
class Barrow:
    wheels: tuple[Wheel, ...] = required("the one in front", max_items=1)
    load: float = required("kilograms", above=0)


@dataclass(frozen=True, kw_only=True)
class Shed:
    content: Bicycle | Barrow = required("what stands there")


ONE = {"wheels": [{"size": 28}]}


def told(raw: object, path: str = "") -> list[str]:
    try:
        parse(Bicycle, raw, path)
    except MistakesError as fault:
        return str(fault).splitlines()
    return []


def test_of_two_classes_the_second_is_meant_by_a_field_that_only_it_has():
    assert isinstance(parse(Shed, {"content": ONE}).content, Bicycle)
    assert isinstance(parse(Shed, {"content": {**ONE, "load": 3}}).content, Barrow)
    with pytest.raises(MistakesError, match=r"content\.lode: unknown field"):
        parse(Shed, {"content": {**ONE, "lode": 3}})


def test_what_is_left_out_gets_its_default():
    found = parse(Bicycle, {**ONE, "from": "x", "name": None})
    assert found == Bicycle(wheels=(Wheel(size=28),), from_="x")


def test_a_whole_number_may_be_written_as_a_decimal():
    assert parse(Bicycle, {"wheels": [{"size": 28.0}], "weight": 9}).wheels[0].size == 28


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wheels": []}, "wheels: needs at least 1 item (got an empty list); give one"),
        ({"wheels": {}}, "wheels: must be a list (got an object)"),
        ({"wheels": None}, "wheels: required; give one"),
        ({"wheels": [{"size": 0}]}, "wheels[0].size: must be >= 1 (got 0)"),
        ({"wheels": [{}]}, "wheels[0].size: required; give size: inches"),
        ({"wheels": [{"size": 41}]}, "wheels[0].size: must be <= 40 (got 41)"),
        ({"wheels": [{"size": 2.5}]}, "wheels[0].size: must be an integer (got 2.5)"),
        ({"wheels": [{"size": True}]}, "wheels[0].size: must be an integer (got true)"),
        (
            {"wheels": [{"size": "28"}]},
            'wheels[0].size: must be an integer (got string "28"); remove the quotes and spaces',
        ),
        (
            {"wheels": [{"size": 9, "spokes": 3}]},
            'wheels[0].spokes: must be >= 8 or "auto" (got 3); leave it out',
        ),
        (
            {"wheels": [{"size": 9, "spokes": "many"}]},
            'wheels[0].spokes: must be an integer or "auto" (got string "many")',
        ),
        ({"weight": 0}, "weight: must be > 0 (got 0)"),
        ({"weight": 1000}, "weight: must be < 1000 (got 1000)"),
        ({"weight": float("nan")}, "weight: must be a finite number (got nan)"),
        ({"weight": 10**400}, "weight: must fit in 64 bits (got an integer of 1329 bits)"),
        ({"lit": "yes"}, 'lit: must be true or false (got string "yes")'),
        ({"name": 5}, "name: must be a string (got 5); put it in quotes"),
        ({"name": "A"}, 'name: only letters (got "A")'),
        ({"name": "a\n"}, 'name: only letters (got "a\\n")'),
        ({"name": "a\0"}, "name: must not hold control characters; U+0000 at 1"),
        ({"kind": "raod"}, 'kind: must be one of road, mountain (got "raod"); did you mean "road"'),
        ({"kind": True}, "kind: must be one of road, mountain (got true)"),
        ({"parts": {"bell": -1}}, "parts.bell: must be >= 0 (got -1)"),
        ({"parts": {"a bell": -1}}, 'parts["a bell"]: must be >= 0 (got -1)'),
        ({"parts": {1: 1}}, "parts[1]: must be a string (got 1); put it in quotes"),
        ({"parts": []}, "parts: must be an object (got an empty list)"),
        ({"wieght": 3}, "wieght: unknown field; did you mean weight?"),
        ({"LIT": True}, "LIT: unknown field; did you mean lit?"),
        ({"price": 3}, "price: unknown field; known fields: name, kind, wheels,"),
        ({"x\n" * 99: 3}, '["x\\nx\\nx\\nx'),
        ({"engine": 1}, "engine: cannot be set; a bicycle has none"),
        ({"lowestGear": 9}, "lowestGear: is above highestGear 5 (got 9)"),
    ],
)
def test_a_mistake_is_told_with_field_value_rule_and_way_out(change, message):
    (found,) = told({**ONE, **change})
    assert found.startswith(message)


def test_a_mistake_is_told_at_the_place_of_the_object():
    assert told({"wheels": [{"size": 0}]}, "spec.bike")[0].startswith("spec.bike.wheels[0].size:")


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_what_is_no_object_is_refused(raw):
    assert told(raw)[0].startswith("Bicycle: must be an object (got ")


class TestAllAtOnce:
    def test_mistakes_of_every_kind_are_told_together(self):
        raw = {
            "wheels": [{"size": 0}, {"spokes": 1}, {"size": 9}],
            "weight": -1,
            "colour": 1,
            "lowestGear": 9,
        }
        assert [line.partition(":")[0] for line in told(raw)] == [
            "colour",
            "wheels[0].size",
            "wheels[1].size",
            "wheels[1].spokes",
            "weight",
            "lowestGear",
        ]

    def test_a_rule_is_silent_where_a_field_that_it_compares_is_wrong_itself(self):
        assert len(told({**ONE, "lowestGear": 9, "highestGear": "x"})) == 1
        assert len(told({**ONE, "lowestGear": 9, "highestGaer": 20})) == 1

    def test_a_rule_speaks_although_a_field_beside_it_is_wrong(self):
        assert len(told({**ONE, "lowestGear": 9, "weight": -1})) == 2
        assert len(told({"lowestGear": 9})) == 2


class TestPrinting:
    def test_names_are_those_of_documents(self):
        assert camel("num_steps") == "numSteps"
        plain = document(parse(Bicycle, {**ONE, "from": "x"}))
        assert plain["from"] == "x"
        assert plain["lowestGear"] == 1
        assert "weight" not in plain

    @settings(max_examples=100, deadline=None)
    @given(
        st.builds(
            Bicycle,
            name=st.text("abc", max_size=5),
            kind=st.sampled_from(["road", "mountain"]),
            wheels=st.lists(
                st.builds(Wheel, size=st.integers(1, 40), spokes=st.just("auto") | st.just(9)),
                min_size=1,
                max_size=2,
            ).map(tuple),
            weight=st.none() | st.floats(0, 1000, exclude_min=True, exclude_max=True),
            lit=st.booleans(),
            parts=st.dictionaries(st.text("ab c/.", max_size=4), st.integers(0, 9), max_size=3),
            from_=st.none() | st.text("xyz é😀\t", max_size=5),
            lowest_gear=st.integers(1, 5),
            highest_gear=st.integers(5, 30),
        )
    )
    def test_a_document_reads_back_equal(self, bicycle):
        plain = json.loads(json.dumps(document(bicycle), allow_nan=False))
        assert parse(Bicycle, plain) == bicycle
        assert document(parse(Bicycle, plain)) == plain

    def test_differences_name_each_field(self):
        ours = {"a": {"b": 1, "c": [1, {"d": 2}]}, "e": 1}
        theirs = {"a": {"b": 2, "c": [1, {"d": 3}]}, "f": 1}
        assert list(differences(ours, theirs)) == [
            ("a.b", 1, 2),
            ("a.c[1].d", 2, 3),
            ("e", 1, None),
            ("f", None, 1),
        ]
        assert list(differences([1], [1, 2])) == [("", [1], [1, 2])]
        assert list(differences(ours, ours)) == []


class TestShowing:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            ("a\n", '"a\\n"'),
            ('a"', '"a\\""'),
            ("é ก", '"é ก"'),
            ("\u202e\x1b", '"\\u202e\\u001b"'),
            ("\ud800", '"\\ud800"'),
            (None, "null"),
            (True, "true"),
            ([], "an empty list"),
            ([1, 2], "a list of 2"),
            ({}, "an object"),
            (10**100, "an integer of 333 bits"),
            (1.5, "1.5"),
        ],
    )
    def test_a_value_is_one_short_printable_line(self, value, shown):
        assert show(value) == shown

    @settings(deadline=None)
    @given(st.text() | st.integers() | st.floats() | st.binary())
    def test_no_value_breaks_a_line_or_is_long(self, value):
        assert show(value).isprintable()
        assert len(show(value)) <= MAX_SHOWN + len("...")

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("a.b", "a", True),
            ("a[0]", "a", True),
            ("a", "a", True),
            ("", "x", True),
            ("ab", "a", False),
            ("a.b", "a.c", False),
            ("a[1]", "a[10]", False),
        ],
    )
    def test_places_overlap_only_at_whole_names(self, one, other, same):
        assert overlap(one, other) is overlap(other, one) is same

    def test_keys_of_users_are_quoted_in_places(self):
        assert key_place("a", "b-c") == "a.b-c"
        assert key_place("a", "b.c/d") == 'a["b.c/d"]'
        assert key_place("a", "b.c").endswith("]")
