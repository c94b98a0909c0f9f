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
from tests.lmjob.bodies import GOOD, REMOVED, changed
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
    (r"is used twice", r"Duplicate value"),
    (r"takes at most (\d+) items", r"must have at most \1 items"),
    (r"takes at most (\d+) entries.*", r"must have at most \1 items"),
)

DEVICE = "example.org/fpga"
TERMS = (
    "spec.pods.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
    "nodeSelectorTerms"
)
SECRET = {"name": "s3", "key": "a"}
PHASE = GOOD["spec"]["phases"][0]

# Rules that no row of the table breaks.
MORE: dict[str, dict[str, Any]] = {
    "neither steps nor epochs": {"spec.phases[0].steps": REMOVED},
    "micro batch above the batch": {"spec.phases[0].microBatchSize": 64},
    "fewer sequences than processes": {
        "spec.phases[0].microBatchSize": "auto",
        "spec.phases[0].globalBatchSize": 3,
    },
    "a word for auto": {"spec.processesPerNode": "many"},
    "too many processes": {"spec.processesPerNode": 2000},
    "two phases of one name": {"spec.phases": [PHASE, PHASE]},
    "two variables of one name": {"spec.pods.env": [{"name": "A"}, {"name": "A"}]},
    "too much masked": {"spec.masking": {"masked": 0.9, "random": 0.25}},
    "held out twice": {"spec.data.validation": {"share": 0.1, "files": ["pvc://a/b"]}},
    "held out by nothing": {"spec.data.validation": {}},
    "two tokenizers": {"spec.tokenizer": {"train": {}, "from": "pvc://a/b"}},
    "unknown preset": {"spec.model.preset": "huge"},
    "sizes of a saved model": {
        "spec.model": {"type": "bert", "from": "pvc://a/b", "config": {"layers": 2}}
    },
    "no family": {"spec.model": {"preset": "tiny"}},
    "nearest size is one": {"spec.model.config": {"hiddenSize": 5, "heads": 12}},
    "nothing to fill in": {"spec.evaluate.fill": ["a"]},
    "no mask in the family": {
        "spec.model": {"type": "gpt2", "preset": "tiny"},
        "spec.evaluate.fill": ["a [MASK]"],
    },
    "no location": {"spec.data.train": [" "]},
    "one slash": {"spec.data.train": ["pvc:/a"]},
    "unknown scheme": {"spec.data.train": ["gs://a"]},
    "no claim": {"spec.data.train": ["pvc://A/b"]},
    "no sample": {"spec.data.train": ["sample://A"]},
    "outside of a sample": {"spec.data.train": ["sample://a/../b"]},
    "a sample to write to": {"spec.output.to": "sample://jargon"},
    "a store to work in": {"spec.output.to": "s3://results/good"},
    "no place in a store": {"spec.output.copyTo": "s3://results"},
    "another store": {"spec.output.copyTo": "gs://results/good"},
    "a pattern to write to": {"spec.data.cache": "pvc://a/*"},
    "threads": {"spec.pods.env": [{"name": "OMP_NUM_THREADS", "value": "1"}]},
    "a variable's name": {"spec.pods.env": [{"name": "1A"}]},
    "two values of a variable": {
        "spec.pods.env": [{"name": "A", "value": "", "valueFrom": {"secretKeyRef": SECRET}}]
    },
    "a value of nothing": {"spec.pods.env": [{"name": "A", "valueFrom": {}}]},
    "a secret's key": {
        "spec.pods.env": [{"name": "A", "valueFrom": {"secretKeyRef": {**SECRET, "key": "..a"}}}]
    },
    "a secret of a variable": {
        "spec.pods.env": [{"name": "A", "valueFrom": {"secretKeyRef": {**SECRET, "name": "S"}}}]
    },
    "another source of a value": {
        "spec.pods.env": [
            {"name": "A", "valueFrom": {"secretKeyRef": SECRET, "fieldRef": {"fieldPath": "x"}}}
        ]
    },
    "no shared memory": {"spec.pods.sharedMemory": "0.0Gi"},
    "a label's key": {"spec.pods.labels": {"a b": "c"}},
    "an annotation's key": {"spec.pods.annotations": {"a b": "c"}},
    "a selector's key": {"spec.pods.nodeSelector": {"a b": "c"}},
    "a label of the operator": {"spec.pods.labels": {"lmtraining.dev/role": "x"}},
    "an annotation of the operator": {"spec.pods.annotations": {"a.lmtraining.dev/x": "x"}},
    "an annotation that weakens": {
        "spec.pods.annotations": {"seccomp.security.alpha.kubernetes.io/pod": "unconfined"}
    },
    "a toleration of all": {"spec.pods.tolerations": [{"effect": "NoExecute"}]},
    "a toleration's key": {"spec.pods.tolerations": [{"key": "a b"}]},
    "a toleration's value": {"spec.pods.tolerations": [{"key": "a", "value": "b c"}]},
    "a toleration with too much": {
        "spec.pods.tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]
    },
    "a toleration for a time": {"spec.pods.tolerations": [{"key": "a", "tolerationSeconds": 1}]},
    "a requirement without a value": {
        TERMS: [{"matchExpressions": [{"key": "a", "operator": "In"}]}]
    },
    "a requirement with a value": {
        TERMS: [{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}]
    },
    "a requirement's key": {TERMS: [{"matchExpressions": [{"key": "a b", "operator": "Exists"}]}]},
    "unknown resource": {"spec.pods.resources.limits": {"gpu": 1, "memory": "8Gi"}},
    "a resource's name": {"spec.pods.resources.limits": {"a b/c": 1, "memory": "8Gi"}},
    "a part of a byte": {"spec.prepare.resources.limits": {"memory": "100m"}},
    "a part of a device": {"spec.prepare.resources.limits": {DEVICE: "1.5"}},
    "a device without a limit": {"spec.prepare.resources.requests": {DEVICE: 1}},
    "fewer devices than the limit": {
        "spec.prepare.resources": {"requests": {DEVICE: 1}, "limits": {DEVICE: 2}}
    },
    "less than nothing": {"spec.prepare.resources.limits": {"cpu": "-1"}},
    "too many patterns": {"spec.data.train": ["pvc://a/b"] * 101},
    "too many labels": {"spec.pods.labels": {f"a{index}": "b" for index in range(65)}},
    "a secret's name": {"spec.pods.imagePullSecrets": [{"name": "A_b"}]},
    "a phase's name": {"spec.phases[0].name": "Main"},
}

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
    parts = re.findall(r"\[\d+\]|(?<=\[\")[^\"]+|[^.\[\]\"]+", field)
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
    part = re.escape(part)
    return rf"(\.{part}|\[{part}\]|{{\"{part}\")"


@pytest.mark.parametrize("row", [*ROWS, *MORE])
def test_kubectl_apply_refuses_with_the_field_and_the_rule_of_validate(row, kubectl, api, tray):
    body = changed(ROWS[row][0] if row in ROWS else MORE[row])
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


def test_of_several_wrong_entries_one_is_named_with_its_own_values(api):
    amounts = {f"example.org/d{index}": index for index in range(1, 9)}
    body = changed(
        {
            "spec.pods.resources": {
                "requests": {name: amount + 10 for name, amount in amounts.items()},
                "limits": amounts,
            }
        }
    )
    for _ in range(5):
        status, answer = api.request("POST", path_of(PLURAL, "default") + "?dryRun=All", body)
        assert status == 422
        named = r"d(\d): the example.org/d\1 request exceeds the limit \1;"
        assert re.search(named, answer["message"])


def test_mistakes_of_one_job_are_told_together(kubectl, tray):
    rows = ("1", "13", "19", "23", "28", "33", "35, space", "37")
    changes = {path: value for row in rows for path, value in ROWS[row][0].items()}
    answer = kubectl("apply", "-n", tray, "-f", "-", body=changed(changes))
    for row in rows:
        mistake = mistake_in(changed(ROWS[row][0]))
        assert says_field(answer.stderr, mistake.field)
        assert says_rule(answer.stderr, mistake.rule)
