"""Locations as users write them: `pvc://claim/path`, `sample://name`, plain paths."""

import pytest

from lmtrainer.config.sources import Location, claims, location_mistakes, parse_location


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("pvc://corpus/wiki/*.txt", Location("pvc", "corpus", "wiki/*.txt")),
        ("pvc://corpus", Location("pvc", "corpus", "")),
        ("pvc://my.claim-1//a/", Location("pvc", "my.claim-1", "a")),
        ("sample://jargon", Location("sample", "jargon", "")),
        ("s3://my-bucket/a/*.txt", Location("s3", "my-bucket", "a/*.txt")),
        ("hf://datasets/owner/name@1a/x.csv", Location("hf", "datasets", "owner/name@1a/x.csv")),
        ("/data/x.txt", Location("file", "", "/data/x.txt")),
        ("../x y.txt", Location("file", "", "../x y.txt")),
        ("a:b.txt", Location("file", "", "a:b.txt")),
    ],
)
def test_locations_are_read(text, location):
    assert parse_location(text) == location


@pytest.mark.parametrize(
    ("text", "rule", "way_out"),
    [
        ("", "is empty", "give a location such as pvc://"),
        ("  ", "is empty", "give"),
        ("gs://bucket/x", "has no known scheme", "known: pvc://CLAIM/PATH"),
        ("file:///etc/passwd", "has no known scheme", "known: "),
        ("PVC://a/b", "has no known scheme", "known: "),
        ("pvc:/corpus/x", "lacks a slash", "write pvc://CLAIM/PATH"),
        ("pvc:corpus", "lacks a slash", "write pvc://CLAIM/PATH"),
        ("pvc://Corpus/x", "is not pvc://CLAIM/PATH", ""),
        ("pvc:///x", "is not pvc://CLAIM/PATH", ""),
        ("pvc://a/../b", "must stay inside the volume", 'remove ".."'),
        ("pvc://a/b/..", "must stay inside the volume", 'remove ".."'),
        ("pvc://../b", "is not pvc://CLAIM/PATH", ""),
    ],
)
def test_what_is_no_location_is_refused_with_the_way_out(text, rule, way_out):
    (mistake,) = location_mistakes("train", [text])
    assert mistake.field == "train[0]"
    assert mistake.rule.startswith(rule)
    assert mistake.way_out.startswith(way_out)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("sample://jargon", "cannot be written to"),
        ("s3://bucket/x", "cannot be written to"),
        ("hf://owner/model", "cannot be written to"),
        ("pvc://results/run-*", "must be one folder, not a pattern"),
        ("pvc://results", "is the whole claim"),
        ("pvc://results/./", "is the whole claim"),
        ("/", "is the root of the file system"),
        ("//", "is the root of the file system"),
        ("/tmp/..", "is the root of the file system"),
    ],
)
def test_nothing_is_written_where_it_may_do_harm(text, rule):
    (mistake,) = location_mistakes("to", [text], writable=True)
    assert (mistake.field, mistake.rule) == ("to", rule)
    assert mistake.way_out
    assert list(location_mistakes("from", [text], single=True)) == []


@pytest.mark.parametrize("text", ["pvc://results/a", "/data/results", "results", "./out"])
def test_a_folder_can_be_written_to(text):
    assert list(location_mistakes("to", [text], writable=True)) == []


def test_claims_are_named_once_and_in_order():
    places = ["pvc://b/x", "pvc://a/y", "sample://jargon", "pvc://b/z", "plain"]
    assert claims(places) == ("a", "b")
