"""The bad inputs that a job file can hold (rows of the reliability table): each is answered by
`lmjob validate` with field, value, rule and way out; all of one file at once."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmjob.cli import main
from lmtrainer.contract.exits import ExitType
from tests.lmjob.bodies import REMOVED, changed, mistakes_in, spec_of

# row -> (changes to the good job, what the message must say)
ROWS = {
    "1": (
        {"spec.workers.replicas": -1},
        "spec.workers.replicas: must be >= 0 (got -1); 0 is a job of the master alone",
    ),
    "2": (
        {"spec.workers.replicas": "three"},
        'spec.workers.replicas: must be an integer (got string "three")',
    ),
    "3": (
        {"spec.workers.replicas": 100000},
        "spec.workers.replicas: must be <= 4096 (got 100000)",
    ),
    "3, of the nodes that prepare": (
        {"spec.prepare.replicas": 0},
        "spec.prepare.replicas: must be >= 1 (got 0); 1 is a node alone, 64 the most",
    ),
    "4": (
        {"spec.processesPerNode": 0},
        'spec.processesPerNode: must be >= 1 or "auto" (got 0)',
    ),
    "4, the name in other kits": (
        {"spec.nprocPerNode": 2},
        "spec.nprocPerNode: cannot be set; it is called spec.processesPerNode here",
    ),
    "5": (
        {"spec.worker": {"replicas": 1}},
        "spec.worker: unknown field; did you mean spec.workers?",
    ),
    "6": ({"spec.model": REMOVED}, "spec.model: required; give model.type"),
    "7": (
        {"spec.model.type": "bert-bse"},
        "spec.model.type: must be one of bert, roberta, groupbert, gpt2 "
        '(got "bert-bse"); did you mean "bert"?',
    ),
    "8": (
        {"spec.data.train": []},
        "spec.data.train: needs at least 1 item (got an empty list); give at least one file",
    ),
    "12": (
        {"spec.phases[0].sequenceLength": 1024},
        "spec.phases[0].sequenceLength: is more than the model's maxPositions 512 (got 1024); "
        "lower it or raise",
    ),
    "13": (
        {"spec.model.config": {"hiddenSize": 100, "heads": 12}},
        "spec.model.config.hiddenSize: is not divisible by heads 12 (got 100); nearest 96 or 108",
    ),
    "15": (
        {"spec.objective": "clm"},
        'spec.objective: bert trains mlm or mlm+nsp (got "clm"); use mlm or mlm+nsp',
    ),
    "16": (
        {"spec.phases[0].globalBatchSize": 30},
        "spec.phases[0].globalBatchSize: must be a multiple of 16: microBatchSize 4 x 4 processes "
        "(got 30); 16 or 32 fits",
    ),
    "17": (
        {"spec.phases[0].learningRate": "1e-4 "},
        'spec.phases[0].learningRate: must be a number (got string "1e-4 "); remove the quotes',
    ),
    "18": (
        {"spec.phases[0].learningRate": -0.1},
        "spec.phases[0].learningRate: must be > 0 (got -0.1)",
    ),
    "19": (
        {"spec.phases[0].warmupSteps": 2000},
        "spec.phases[0].warmupSteps: is more than steps 1000 (got 2000)",
    ),
    "20": (
        {"spec.phases[0].epochs": 3},
        "spec.phases[0].steps: steps and epochs are both given (got 1000); give one",
    ),
    "21": (
        {"spec.checkpoint.everySteps": 0},
        "spec.checkpoint.everySteps: must be >= 1 (got 0); leave it out for 500",
    ),
    "22": (
        {"spec.checkpoint.keep": 1},
        "spec.checkpoint.keep: must be >= 2 (got 1); the last good one must survive a bad save",
    ),
    "23": (
        {"spec.output.to": "pvc://results/../../etc"},
        'spec.output.to: must stay inside the volume (got "pvc://results/../../etc"); remove ".."',
    ),
    "24": (
        {"spec.output.to": "/"},
        'spec.output.to: is the root of the file system (got "/"); name a folder',
    ),
    "24, of a claim": (
        {"spec.output.to": "pvc://results/./"},
        'spec.output.to: is the whole claim (got "pvc://results/./"); name a folder in it',
    ),
    "28": (
        {"spec.pods.env": [{"name": "MASTER_ADDR", "value": "evil"}]},
        'spec.pods.env[0].name: is reserved: the operator and the launcher set it (got "MASTER_',
    ),
    "28, of a role": (
        {"spec.master.env": [{"name": "LOCAL_RANK"}]},
        "spec.master.env[0].name: is reserved",
    ),
    "29": (
        {"spec.pods.env": [{"name": "LD_PRELOAD", "value": "/x.so"}]},
        "spec.pods.env[0].name: is not allowed: it changes what code every process of the pod",
    ),
    "31, hostPath": ({"spec.pods.hostPath": "/etc"}, "spec.pods.hostPath: cannot be set; pods of"),
    "31, hostNetwork": (
        {"spec.workers.hostNetwork": True},
        "spec.workers.hostNetwork: cannot be set; pods of a job never reach into their host",
    ),
    "31, privileged": (
        {"spec.pods.securityContext": {"privileged": True}},
        "spec.pods.securityContext: cannot be set; pods run unprivileged",
    ),
    "31, command": ({"spec.pods.command": ["sh"]}, "spec.pods.command: cannot be set; every pod"),
    "32": (
        {"spec.pods.serviceAccountName": "cluster-admin-sa"},
        "spec.pods.serviceAccountName: cannot be set; pods run without an API token",
    ),
    "32, at the top": (
        {"spec.serviceAccountName": "x"},
        "spec.serviceAccountName: cannot be set; pods run without an API token",
    ),
    "33": (
        {"spec.pods.resources.limits.cpu": "4 cores"},
        'spec.pods.resources.limits.cpu: is not a quantity (got string "4 cores"); write "4"',
    ),
    "34": (
        {"spec.pods.resources.requests.memory": "16Gi"},
        "spec.pods.resources.requests.memory: the memory request exceeds the limit 8Gi (got 16Gi)",
    ),
    "35, empty": ({"spec.image": ""}, 'spec.image: is not an image reference (got "")'),
    "35, space": ({"spec.image": "a b"}, 'spec.image: is not an image reference (got "a b")'),
    "35, line break": (
        {"spec.image": "a:b\n"},
        'spec.image: is not an image reference (got "a:b\\n"); write registry/name:tag',
    ),
    "36": (
        {"metadata.name": "n" * 41},
        "metadata.name: must be at most 40 lower-case letters, digits and '-'",
    ),
    "36, letters": ({"metadata.name": "My_Job"}, "metadata.name: must be at most 40 lower-case"),
    "37": (
        {"spec.pods.labels.team": "a/b c"},
        "spec.pods.labels.team: must be at most 63 letters, digits, '-', '_' and '.', "
        'with a letter or digit at both ends (got "a/b c")',
    ),
    "40, NUL": (
        {"spec.data.train[0]": "pvc://corpus/\0"},
        "spec.data.train[0]: must not hold control characters; U+0000 at 13",
    ),
    "40, 1 MB": (
        {"spec.pods.env[0].value": "x" * 1_000_000},
        "spec.pods.env[0].value: must be at most 4096 characters, has 1000000",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_validate_answers_each_bad_input_with_field_value_rule_and_way_out(row, tmp_path, capsys):
    changes, expected = ROWS[row]
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(changed(changes)))
    assert main(["validate", str(file)]) == ExitType.USER_ERROR.code
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{file}: {expected}")


def test_the_good_job_has_no_mistake(tmp_path, capsys):
    file = tmp_path / "job.yaml"
    file.write_text(json.dumps(changed({})))
    assert main(["validate", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: OK\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_row_18_a_learning_rate_that_is_no_number_is_refused(value):
    (message,) = mistakes_in(changed({"spec.phases[0].learningRate": value}))
    assert message.startswith("spec.phases[0].learningRate: must be a finite number")


def test_row_30_and_40_strange_text_is_kept_byte_for_byte():
    for text in ["$(HF_TOKEN)", 'x"]\n  securityContext: {privileged: true}', "{{7*7}}", "é\t😀"]:
        spec = spec_of({"spec.pods.env[0].value": text, "spec.data.train[0]": f"pvc://c/{text}"})
        assert spec.pods.env[0].value == text
        assert spec.data.train == (f"pvc://c/{text}",)


# Rows that may stand in one file: at most one of each group, for they are about the same place.
GROUPS = [
    ["1", "2", "3"],
    ["4"],
    ["4, the name in other kits"],
    ["5"],
    ["6", "7", "13"],
    ["8", "40, NUL"],
    ["12"],
    ["15"],
    ["16"],
    ["17", "18"],
    ["19"],
    ["20"],
    ["21"],
    ["22"],
    ["23", "24", "24, of a claim"],
    ["28", "29", "40, 1 MB"],
    ["28, of a role"],
    ["31, hostPath"],
    ["31, hostNetwork"],
    ["31, privileged"],
    ["31, command"],
    ["32"],
    ["32, at the top"],
    ["33"],
    ["34"],
    ["35, empty", "35, space", "35, line break"],
    ["36", "36, letters"],
    ["37"],
]
# What cannot be told while something it is compared with is wrong.
SILENCED = {
    "16": {"1", "2", "3", "4", "5"},
    "12": {"6", "7"},
    "15": {"6", "7"},
}


@settings(deadline=None)
@given(st.tuples(*(st.sampled_from([None, *group]) for group in GROUPS)))
def test_all_mistakes_of_a_file_are_told_at_once(choice):
    rows = {row for row in choice if row}
    changes = [ROWS[row][0] for row in sorted(rows, key=len, reverse=True)]
    body = changed({path: value for change in changes for path, value in change.items()})
    expected = {
        message
        for row in rows
        if not SILENCED.get(row, set()) & rows
        for message in mistakes_in(changed(ROWS[row][0]))
    }
    assert set(mistakes_in(body)) == expected


def test_thousands_of_unknown_fields_are_told_shortly():
    body = changed({})
    body["spec"] |= {f"field{number}": 1 for number in range(5000)}
    found = mistakes_in(body)
    assert len(found) == 51
    assert "has 4950 more unknown fields" in str(found[-1])
