"""Reports of a node: written by the trainer, read by `lmjob`, in equal or neighbouring versions."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtrainer.contract.reports import (
    CUT_MARK,
    MAX_TERMINATION_BYTES,
    Announcement,
    Completion,
    Failure,
    Position,
    Progress,
    Termination,
    dump,
    load,
)

POSITION = Position(phase_index=1, step=20, phase="long")
COMPLETION = Completion(
    stage="train",
    job_uid="job-a",
    attempt=2,
    config_hash="c" * 64,
    position=POSITION,
    target=POSITION,
    manifest_sha256="a" * 64,
    output="pvc://results/bert",
)
REPORTS = [
    Announcement(pid=7, status_port=8080, master_port=29500),
    COMPLETION,
    Progress(
        job_uid="job-a",
        attempt=2,
        stage="prepare",
        activity="train tokenizer",
        unit="bytes",
        done=3,
        total=9,
        position=POSITION,
        loss=2.5,
        learning_rate=1e-4,
        tokens_per_second=10.0,
        eta_seconds=60.0,
        durable=POSITION,
        resumed_from=Position(phase_index=0, step=1),
        first_step_at=1.0,
        updated_at=2.0,
        heartbeats={"0": 0.5, "1": 1.0},
    ),
    Termination(
        job_uid="job-a",
        attempt=2,
        node_rank=1,
        exit_type="KILLED",
        failure=Failure(message="m", rank=3, exception="E", signal=9, exit_code=None),
        completion=COMPLETION,
        durable=POSITION,
    ),
    Progress(),
    Termination(),
]


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: type(report).__name__)
def test_a_report_is_one_line_and_reads_back_equal(report):
    text = dump(report)
    assert "\n" not in text
    assert load(type(report), text) == report


@pytest.mark.parametrize("report", REPORTS[:4], ids=lambda report: type(report).__name__)
def test_fields_of_a_newer_version_are_left_out_at_every_depth(report):
    def add(value):
        if isinstance(value, dict) and "0" not in value:
            return {**{key: add(item) for key, item in value.items()}, "newField": {"a": [1]}}
        return value

    newer = json.dumps(add(json.loads(dump(report))))
    assert newer.count("newField") >= 1
    assert load(type(report), newer) == report


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"done": "three"}', '{"position": 3}'])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(ValueError):
        load(Progress, text)


def ending(message, **fields):
    return Termination(
        job_uid="job-a", failure=Failure(message=message, rank=3, exit_code=70), **fields
    )


@pytest.mark.parametrize(
    "unit", ["x", "é", "日本", "\U0001f600", '"\\', "\n", "\ud800", "\x1b[31m\r"]
)
def test_100_kilobytes_of_error_fit_and_keep_their_beginning(unit):
    message = "ValueError: " + unit * (100_000 // len(unit.encode("utf-8", "surrogatepass")))
    text = dump(ending(message, completion=COMPLETION, durable=POSITION))
    assert MAX_TERMINATION_BYTES - 12 <= len(text.encode()) <= MAX_TERMINATION_BYTES
    found = load(Termination, text)
    assert found.completion == COMPLETION
    assert found.failure.message.startswith("ValueError: ")
    assert found.failure.message.endswith(CUT_MARK)
    assert found.failure.rank == 3


def test_a_long_folder_is_cut_when_the_message_alone_is_not_enough():
    completion = Completion(output="pvc://results/" + "d" * 4000, manifest_sha256="a")
    text = dump(ending("m" * 1000, completion=completion))
    assert len(text) <= MAX_TERMINATION_BYTES
    assert load(Termination, text).completion.manifest_sha256 == "a"


@given(st.text(max_size=300))
def test_any_message_is_read_again(message):
    found = load(Termination, dump(ending(message))).failure.message
    assert len(found) == len(message)
    assert all(now in (then, " ") for now, then in zip(found, message, strict=True))
    if message.isprintable():
        assert found == message


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_left_out(number):
    assert load(Progress, dump(Progress(done=4, loss=number))) == Progress(done=4)


def test_only_the_record_of_a_reached_target_proves_success():
    assert COMPLETION.proves_success
    assert not Completion().proves_success
    assert not Completion(position=POSITION, manifest_sha256="a").proves_success
    assert not Completion(position=POSITION, target=POSITION).proves_success
    assert Completion(stage="prepare", manifest_sha256="a").proves_success
