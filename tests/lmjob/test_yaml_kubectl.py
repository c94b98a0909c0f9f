"""A job file means to `lmjob` what it means to kubectl, or is refused.

`kubectl_reads.json` holds what kubectl 1.37.1 made of each text, as `kubectl annotate --local`
prints it: the reader of `kubectl apply --dry-run=client -o json`, which prints the same but for
nulls, and needs no API server. With a kubectl on PATH the record is compared with it again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lmjob.api.jobfile import JobFileError, read_job_file

RECORD = json.loads(Path(__file__).with_name("kubectl_reads.json").read_text())

HEAD = "apiVersion: lmtraining.dev/v1alpha1\nkind: LMTrainingJob\nmetadata: {name: x}\nspec:\n  v: "
TEXTS = {text: HEAD + text + "\n" for text in RECORD["scalars"]}
TEXTS |= {name: found["text"] for name, found in RECORD["documents"].items()}
ANSWERS = {**RECORD["scalars"], **RECORD["documents"]}

# Read by kubectl, refused here: what is easily written by mistake, or means something else to
# other readers of YAML.
STRICTER = {
    *("!!binary aGk=", "!!timestamp 2001-01-01", "!foo 1", "!foo bar", "!!set {a}"),
    *("{yes: a}", "{1e-4: a}", "{1.5: a}"),
    *("dup", "dup flow", "dup top", "dup via types", "json dup", "merge order"),
    *("tab after colon", "tab trailing", "tab before comment", "tab in plain"),
}
# Read here, refused by kubectl: an escape of JSON, with the meaning that it has there.
LAXER = {'"a\\/b"'}
# Half a character, for which kubectl puts U+FFFD; the rules of fields refuse it.
KEPT = {"json lone surrogate"}
# Two keys become one: which of their values stays, kubectl's map draws anew each time.
DRAWN = {"dup via types"}


def same(ours: Any, theirs: Any) -> bool:
    """Equal as JSON: 1.0 is 1, but true is not."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    return ours == theirs and isinstance(ours, str) == isinstance(theirs, str)


def ours(name: str) -> dict[str, Any]:
    try:
        spec = read_job_file(TEXTS[name].encode())["spec"]
    except JobFileError:
        return {"refused": True}
    return {"value": spec["v"] if name in RECORD["scalars"] else spec}


@pytest.mark.parametrize("name", sorted(TEXTS.keys() - STRICTER - LAXER - KEPT))
def test_a_text_means_what_it_means_to_kubectl(name):
    found, recorded = ours(name), ANSWERS[name]
    assert found.get("refused") == recorded.get("refused")
    assert same(found.get("value"), recorded.get("value"))


@pytest.mark.parametrize("name", sorted(STRICTER))
def test_what_is_easily_misread_is_refused(name):
    assert ours(name) == {"refused": True}
    assert "value" in ANSWERS[name]


def test_an_escape_of_json_keeps_its_meaning():
    assert [ours(name) for name in LAXER] == [{"value": "a/b"}]


KUBECTL = shutil.which("kubectl")
WHY_NOT = (
    'no kubectl on PATH: eval "$(/path/to/cluster env)", or install it from kubernetes.io; no '
    "cluster is needed"
)


def kubectl_reads(text: str) -> dict[str, Any]:
    command = ["kubectl", "annotate", "--local", "-f", "-", "-o", "json", "seen=yes"]
    environment = {**os.environ, "KUBECONFIG": os.devnull}
    found = subprocess.run(command, input=text.encode(), capture_output=True, env=environment)
    if found.returncode:
        return {"refused": True}
    whole = json.loads(found.stdout, parse_int=lambda digits: _as_kept(int(digits)))
    return {"value": whole["spec"]}


def _as_kept(number: int) -> int | float:
    """Kubernetes keeps integers beyond 64 bits as float64."""
    return number if -(2**63) <= number < 2**63 else float(number)


@pytest.mark.skipif(KUBECTL is None, reason=WHY_NOT)
def test_the_kubectl_of_this_machine_reads_scalars_as_recorded():
    read = [text for text, found in RECORD["scalars"].items() if "value" in found]
    lines = [HEAD.removesuffix("  v: "), *(f"  k{n}: {text}\n" for n, text in enumerate(read))]
    values = kubectl_reads("".join(lines))["value"]
    differing = [
        (text, values[f"k{n}"], RECORD["scalars"][text]["value"])
        for n, text in enumerate(read)
        if not same(values[f"k{n}"], RECORD["scalars"][text]["value"])
    ]
    assert differing == []


@pytest.mark.skipif(KUBECTL is None, reason=WHY_NOT)
def test_the_kubectl_of_this_machine_reads_documents_as_recorded():
    """Of other versions only what they read counts: older ones refuse more."""
    version = subprocess.run(["kubectl", "version", "--client"], capture_output=True, text=True)
    same_version = f"Client Version: {RECORD['kubectl']}\n" in version.stdout
    refused = {
        text: HEAD + text for text, found in RECORD["scalars"].items() if "value" not in found
    }
    for name, text in {**refused, **{n: TEXTS[n] for n in RECORD["documents"]}}.items():
        found, recorded = kubectl_reads(text), ANSWERS[name]
        if same_version or "value" in found:
            assert found.get("refused") == recorded.get("refused"), name
            assert name in DRAWN or same(found.get("value"), recorded.get("value")), name
