"""Regular expressions of the specification mean the same to the API server, which speaks RE2."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmjob.api.spec import JobSpec
from lmjob.crd.patterns import check, re2
from lmtrainer.config.schema import fields
from tests.lmjob.test_crd import compared, inside, schema_of

PATTERNS = sorted(
    {
        f.rule.pattern
        for _, cls, _ in compared(JobSpec, schema_of("spec"), "")
        for f in fields(cls)
        if f.rule.pattern
    }
)
EXAMPLES = [
    "",
    "a",
    "a" * 63,
    "a" * 64,
    "a" * 600,
    "a.b",
    "-a",
    "a-",
    "A_b.c",
    "a/b",
    "a.b/c",
    "x y",
    "a\n",
    "é",
    "localhost/a:b",
    "example.org:5000/a/b:1@sha256:" + "0" * 32,
    "host:5000/a",
    "host:/a",
    "UPPER/a",
]


def accepted(pattern: str, text: str) -> bool:
    """As the schema would: the length, then the expression, whose $ is only the very end."""
    found = re2(pattern)
    longest = found.max_length if found.max_length is not None else len(text)
    body = found.text.removesuffix("$") + r"\Z"
    return found.min_length <= len(text) <= longest and re.search(body, text) is not None


def test_there_are_patterns():
    assert len(PATTERNS) >= 7


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_accepts_the_same_texts_as_before(pattern):
    for text in EXAMPLES:
        assert accepted(pattern, text) == bool(re.fullmatch(pattern, text)), text

    near = st.from_regex(re.compile(re2(pattern).text), fullmatch=True)

    @settings(max_examples=25)
    @given(near | st.text("aA0.-_/:@ \n", max_size=70))
    def same(text: str) -> None:
        assert accepted(pattern, text) == bool(re.fullmatch(pattern, text))

    same()


@pytest.mark.parametrize(
    "pattern",
    [
        "(?!a)b",
        "(?<=a)b",
        "a(?=b)",
        "(?i)a",
        "(?P<name>a)",
        r"(a)\1",
        r"a\Z",
        r"\d+",
        r"\w",
        r"\bword",
        "a++",
        "a{1001}",
        "a{2,1001}",
        "[",
    ],
)
def test_what_re2_lacks_or_reads_otherwise_is_refused_when_the_schema_is_made(pattern):
    with pytest.raises((ValueError, re.error)):
        re2(pattern)


@pytest.mark.parametrize("pattern", ["a|b", r"\.", "[^/]+", "(?:a)", "[(?=]", "[a+]+", "x{0,62}"])
def test_what_both_read_alike_is_taken(pattern):
    check(pattern)


def test_a_length_before_an_expression_becomes_bounds():
    found = re2(r"(?=.{1,253}\Z)[a-z]+")
    assert (found.text, found.min_length, found.max_length) == ("^[a-z]+$", 1, 253)
    assert re2("a|b").text == "^(a|b)$"


def test_every_expression_in_the_rules_is_one_of_re2():
    found = [
        json.loads(literal)
        for _, schema in inside(schema_of())
        for rule in schema.get("x-kubernetes-validations", ())
        for literal in re.findall(r'matches\(("(?:[^"\\]|\\.)*")\)', rule["rule"])
    ]
    assert len(found) > 100
    for pattern in set(found):
        check(pattern)
