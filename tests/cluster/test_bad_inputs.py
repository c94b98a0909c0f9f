"""The forty bad inputs: `kubectl apply` names the same field and the same rule as `lmjob validate`,
and stores nothing. What only the operator can tell becomes the condition InvalidSpec.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lmjob.api.names import PLURAL
from lmjob.api.spec import parse_job
from lmjob.core.report import stalled
from lmtrainer.config import Mistake, MistakesError
from tests.cluster.harness.api import Api, path_of
from tests.lmjob.bodies import changed
from tests.lmjob.test_bad_inputs import ROWS

pytestmark = pytest.mark.cluster

# The rule in the words of Python -> the same rule as an API server says it.
NATIVE = (
    (r"must be >= (\S+)", r"should be greater than or equal to \1"),
    (r"must be <= (\S+)", r"should be less than or equal to \1"),
    (r"must be > (\S+)", r"should be greater than \1"),
    (r"must be < (\S+)", r"should be less than \1"),
    (r"must be an? (integer|number|string|boolean)", r"must be of type \1"),
    (r"must be one of (\w+).*", r'supported values: "\1"'),
    (r"needs at least (\d+) items?", r"should have at least \1 items"),
    (r"must be at most (\d+) characters, .*", r"Too long: may not be more than \1"),
    (r"required", r"Required value"),
    (r"unknown field|cannot be set", r"unknown field"),
)

# Rules that the API server does not know: the operator answers with a condition.
OPERATOR = {
    "an unknown codec": (
        {"spec.data.encoding": "utf-9"},
        'spec.data.encoding: unknown encoding (got "utf-9")',
    ),
    "16, of a group with GPUs": (
        {
            "spec.pods.resources.limits": {"nvidia.com/gpu": 2},
            "spec.pods.resources.requests": {},
            "spec.phases[0].globalBatchSize": 40,
        },
        "spec.phases[0].globalBatchSize: must be a multiple of 32: microBatchSize 4 x 8 processes",
    ),
    "GPUs that do not fit the processes": (
        {"spec.master.resources": {"limits": {"nvidia.com/gpu": 1}}},
        'spec.processesPerNode: the master has 1 GPUs, a worker 0 (got "auto")',
    ),
}


@pytest.fixture(scope="module")
def kubectl(kubeconfig: Path) -> Any:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("needs kubectl on the PATH")

    def run(*arguments: str, **document: Any) -> subprocess.CompletedProcess[str]:
        text = json.dumps(document["body"]) if document else None
        command = [program, "--kubeconfig", str(kubeconfig), *arguments]
        return subprocess.run(command, input=text, text=True, capture_output=True, check=False)

    return run


@pytest.fixture(scope="module")
def tray(api: Api) -> Any:
    """One namespace for all refused jobs: nothing may ever lie in it."""
    from tests.cluster.harness.jobs import fresh_name, restricted

    name = fresh_name()
    api.create("namespaces", "", restricted(name))
    yield name
    api.delete("namespaces", "", name)


def mistake_in(body: Any) -> Mistake:
    with pytest.raises(MistakesError) as fault:
        parse_job(body)
    (mistake,) = fault.value.mistakes
    return mistake


def says_rule(answer: str, rule: str) -> bool:
    """Does an answer name a rule, in our words or in those of the API server?"""
    ours = rule.partition(";")[0]
    natives = [re.sub(was, now, ours) for was, now in NATIVE if re.fullmatch(was, ours)]
    return any(words in answer for words in (ours, *natives))


def says_field(answer: str, field: str) -> bool:
    """Does an answer name a field? The API server writes keys of a user's in brackets, and rules
    of items and keys stand at their object: `spec.phases: ...: [0].sequenceLength: ...`."""
    parts = re.findall(r"\[[^\]]*\]|[^.\[\]]+", field)
    for count in range(len(parts), max(len(parts) - 3, 1), -1):
        here = re.escape(parts[0]) + "".join(_spelled(part) for part in parts[1:count])
        rest = "".join(_spelled(part) for part in parts[count:])
        found = re.search(rf"(?<![\w.]){here}(?![\w.\[])(?P<rest>.*)", answer)
        if found and (not rest or re.search(rest, f".{found['rest'].rpartition('value: ')[2]}")):
            return True
    return False


def _spelled(part: str) -> str:
    if part.startswith("["):
        return re.escape(part)
    return rf"(\.{re.escape(part)}|\[{re.escape(part)}\])"


@pytest.mark.parametrize("row", ROWS)
def test_kubectl_apply_refuses_with_the_field_and_the_rule_of_validate(row, kubectl, api, tray):
    body = changed(ROWS[row][0])
    mistake = mistake_in(body)
    answer = kubectl("apply", "-n", tray, "-f", "-", body=body)
    assert answer.returncode != 0
    assert says_field(answer.stderr, mistake.field), answer.stderr
    assert says_rule(answer.stderr, mistake.rule), answer.stderr
    assert api.list(PLURAL, tray) == []


@pytest.mark.parametrize("row", OPERATOR)
def test_what_only_the_operator_can_tell_becomes_a_condition(row, api, tray):
    changes, expected = OPERATOR[row]
    body = changed(changes)
    api.must("POST", path_of(PLURAL, tray) + "?dryRun=All", body)
    mistake = mistake_in(body)
    assert str(mistake).startswith(expected)
    conditions = stalled("InvalidSpec", str(mistake), 0.0)["conditions"]
    (told,) = (c for c in conditions if c["type"] == "Stalled")
    assert (told["status"], told["reason"]) == ("True", "InvalidSpec")
    assert expected in told["message"]


@pytest.mark.parametrize(
    "text", ["$(HF_TOKEN)", 'x"]\n  securityContext: {privileged: true}', "{{7*7}}", "é\t😀"]
)
def test_strange_text_is_kept_byte_for_byte(text, kubectl, tray):
    """Rows 30 and 40."""
    body = changed({"spec.pods.env[0].value": text, "spec.data.train[0]": f"pvc://c/{text}"})
    answer = kubectl("create", "-n", tray, "--dry-run=server", "-o", "json", "-f", "-", body=body)
    spec = json.loads(answer.stdout)["spec"]
    assert spec["pods"]["env"][0]["value"] == text
    assert spec["data"]["train"] == [f"pvc://c/{text}"]


def test_mistakes_of_one_job_are_told_together(kubectl, tray):
    rows = ("1", "13", "19", "23", "28", "33", "35, space", "37")
    changes = {path: value for row in rows for path, value in ROWS[row][0].items()}
    answer = kubectl("apply", "-n", tray, "-f", "-", body=changed(changes))
    for row in rows:
        mistake = mistake_in(changed(ROWS[row][0]))
        assert says_field(answer.stderr, mistake.field)
        assert says_rule(answer.stderr, mistake.rule)
