"""Job files: JSON or YAML, one document; what may be misunderstood is refused with its place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmjob.api.jobfile import MAX_BYTES, JobFileError, read_job_file
from lmjob.api.yamltree import MAX_ALIASES, MAX_DEPTH, MAX_NODES


def refusal(text: str | bytes) -> str:
    with pytest.raises(JobFileError) as caught:
        read_job_file(text if isinstance(text, bytes) else text.encode())
    return str(caught.value)


def read(text: str) -> object:
    return read_job_file(text.encode())


def test_a_learning_rate_as_people_write_it_is_a_number():
    assert read("spec: {learningRate: 1e-4}") == {"spec": {"learningRate": 0.0001}}


def test_json_is_read_with_tabs_and_escapes():
    text = '{\n\t"a": "\\ud83d\\ude00 \\/", "b": [1e-4, 1.0, true, null]\n}'
    assert read(text) == {"a": "😀 /", "b": [0.0001, 1.0, True, None]}


def test_what_begins_like_json_may_be_yaml():
    assert read("{a: yes, b: [c, d],}") == {"a": True, "b": ["c", "d"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", 'line 3, column 1: the key "a" stands twice in this object'),
        ("a:\n  - {x: 1, x: 2}\n", 'line 2, column 12: the key "x" stands twice'),
        ('a: {1: x, "1": y}', 'line 1, column 11: the key "1" stands twice'),
        ('{\n\t"a": {"b": 1,\n\t"b": 2}}', 'line 3, column 2: the key "b" stands twice'),
        ("a:\n\tb: 1\n", "line 2, column 1: a tab stands where YAML allows only spaces"),
        ("a: 1\t# x\n", "line 1, column 5: a tab stands where YAML allows only spaces"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: a second document begins here"),
        ("a: [1, 2\nb: 3\n", "line 2, column 2: expected ',' or ']'"),
        ("a: 'x\n", "line 2, column 1: found unexpected end of stream"),
        ("a: b: c\n", "line 1, column 5: mapping values are not allowed here"),
        ("a: *x\n", "line 1, column 4: the anchor x is not defined before"),
        ("a: &x [*x]\n", "line 1, column 8: the anchor x contains itself"),
        ("a: !!python/object:os.system x", "line 1, column 4: the tag !!python/object:os.system"),
        ("a: !!set {x}\n", "line 1, column 4: tags are not read; remove it"),
        ("a: !!int x\n", 'line 1, column 4: "x" is no !!int; remove the tag'),
        ("a: .nan\n", "line 1, column 4: .nan is not a number that Kubernetes can keep"),
        ("a: -.INF\n", "line 1, column 4: -.INF is not a number that Kubernetes can keep"),
        ("on: 1\n", "line 1, column 1: the key on means true; put it in quotes"),
        ("[1]: 1\n", "line 1, column 1: a key must be text"),
        ("a: &x {p: 1}\nb: {q: 2, <<: *x}", "line 2, column 11: << must be the first key"),
        ("b: {<<: 1}", "line 1, column 5: << takes an object, or a list of objects"),
        ('a: "\\uD83D"', "line 1, column 4: half a character"),
        ("a: x\x07y\n", "line 1, column 5: the character U+0007 is not allowed in YAML"),
        ("a: 1\nb: \x7f\n", "line 2, column 4: the character U+007F is not allowed in YAML"),
        ("%YAML 1.2\n---\na: 1\n", "line 1, column 1: directives such as %YAML are not read"),
        (b"a: 1\nb: x\xff\n", "line 2, column 5: byte 0xff is not UTF-8"),
        ('{"a": 1e400}', "the number 1e400 does not fit 64 bits"),
        ("", "holds no document"),
        ("# only a comment\n---\n", "holds no document"),
    ],
)
def test_what_cannot_be_read_is_refused_with_line_and_column(text, message):
    assert refusal(text).startswith(message)


def test_empty_documents_around_the_job_do_not_count():
    assert read("# a comment\n---\na: 1\n---\n# the end\n...\n") == {"a": 1}


def test_anchors_and_merges_stand_for_what_they_name():
    text = "x: &x {p: 1, q: 2}\nv: {<<: *x, q: 3}\nz: {<<: [{p: 5}, *x]}\nw: [*x]"
    assert read(text) == {
        "x": {"p": 1, "q": 2},
        "v": {"p": 1, "q": 3},
        "z": {"p": 5, "q": 2},
        "w": [{"p": 1, "q": 2}],
    }


class TestCaps:
    def test_a_file_larger_than_kubernetes_keeps_is_refused(self):
        assert refusal(b" " * (MAX_BYTES + 1)).startswith(f"has {MAX_BYTES + 1} bytes; a job has")

    def test_a_string_of_a_megabyte_is_read_for_the_rules_of_fields_to_refuse(self):
        assert read('a: "' + "x" * 1_000_000 + '"') == {"a": "x" * 1_000_000}

    def test_aliases_of_aliases_do_not_grow_without_bound(self):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
        message = refusal("\n".join(lines))
        assert f"the document has more than {MAX_NODES} values, aliases followed" in message

    def test_many_aliases_are_refused(self):
        aliases = "*x, " * (MAX_ALIASES + 1)
        assert f"more than {MAX_ALIASES} aliases" in refusal(f"a: &x 1\nb: [{aliases}]")

    def test_merges_do_not_grow_without_bound(self):
        lines = ["a0: &a0 {k: {a: 1, b: 2, c: 3}}"]
        lines += [f"a{n}: &a{n} {{l: *a{n - 1}, r: *a{n - 1}}}" for n in range(1, 30)]
        assert "aliases followed" in refusal("\n".join(lines))

    @pytest.mark.parametrize(
        "text",
        [
            "[" * 100_000,
            "a: " + "[" * 1000 + "]" * 1000,
            '{"a":' * 1000 + "1" + "}" * 1000,
            '{"a":' * 70 + "1" + "}" * 70,
            "- " * 100_000,
        ],
    )
    def test_deep_nesting_is_refused(self, text):
        assert f"is nested deeper than {MAX_DEPTH} levels" in refusal(text)

    def test_json_with_too_many_values_is_refused(self):
        assert "values" in refusal(json.dumps({"a": [0] * (MAX_NODES + 1)}))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, min_size=1))
def test_json_comes_through_unharmed(value):
    assert read(json.dumps(value)) == value
    assert read(json.dumps(value, ensure_ascii=False, indent="\t")) == value


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | st.text("a:-[]{}&*!|>'\"%@`#,\n\t 1.e<?~", max_size=60))
def test_any_file_is_read_or_refused(data):
    try:
        read_job_file(data if isinstance(data, bytes) else data.encode())
    except JobFileError as fault:
        assert str(fault)
