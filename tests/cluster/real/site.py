"""A namespace for jobs, with a volume that every node shares: a folder of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.harness.api import Api
from tests.cluster.harness.jobs import fresh_name, restricted

CLAIM = "results"


@dataclass(frozen=True)
class Site:
    """Where jobs of a test run. `results` is the folder behind the claim of that name."""

    api: Api
    namespace: str
    results: Path

    def add_claim(self, name: str, folder: Path, *modes: str) -> None:
        """A claim on a folder, bound at once."""
        # Pods are not root, and a hostPath takes no fsGroup.
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        spec = {
            "accessModes": list(modes or ("ReadWriteMany",)),
            "storageClassName": "",
        }
        volume = {
            "metadata": {"name": f"{self.namespace}-{name}"},
            "spec": {
                **spec,
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": str(folder)},
                "claimRef": {"namespace": self.namespace, "name": name},
            },
        }
        claim = {
            "metadata": {"name": name},
            "spec": {
                **spec,
                "volumeName": f"{self.namespace}-{name}",
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
        self.api.create("persistentvolumes", "", volume)
        self.api.create("persistentvolumeclaims", self.namespace, claim)


@contextmanager
def site(api: Api, folder: Path) -> Iterator[Site]:
    """A fresh namespace of the `restricted` level with its claim `results`; gone afterwards."""
    found = Site(api, fresh_name("real"), folder / CLAIM)
    api.create("namespaces", "", restricted(found.namespace))
    # No pod can be created before. Controllers take a while after an outage of the API server.
    account = (found.namespace, "default")
    api.wait(lambda: api.get("serviceaccounts", *account), seconds=90, what="service account")
    found.add_claim(CLAIM, found.results)
    try:
        yield found
    finally:
        api.delete("namespaces", "", found.namespace)
        for volume in api.list("persistentvolumes"):
            if volume["spec"].get("claimRef", {}).get("namespace") == found.namespace:
                api.delete("persistentvolumes", "", volume["metadata"]["name"])
