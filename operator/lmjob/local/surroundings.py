"""The environment of the caller, which the nodes of a local job inherit, stands in for Secrets: a
variable that a cluster would take out of a Secret must be set here under the same name, so that its
value is in no file of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lmjob.core.plan.shapes import JobPlan
from lmtrainer.config import Mistake


def unset_secrets(plan: JobPlan, environ: Mapping[str, str]) -> Iterator[Mistake]:
    """Variables of a Secret that the caller has not set, each once."""
    wanted = {name: entry for of in (plan.secrets or {}).values() for name, entry in of.items()}
    for name, entry in sorted(wanted.items()):
        if name not in environ:
            rule = f"is not set; in a cluster it is {entry.key} of Secret {entry.name}"
            yield Mistake(f"variable {name}", "", rule, f"export {name} before lmjob run")
