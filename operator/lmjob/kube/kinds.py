"""The kinds of objects that the operator speaks of, and where the API server keeps them.

Used by every caller of `lmjob.kube.client`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from lmjob.api import names


@dataclass(frozen=True)
class Kind:
    """A namespaced kind. `group` is empty for the core group."""

    kind: str
    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def root(self) -> str:
        """The path of its group and version."""
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.version}"

    def collection(self, namespace: str | None) -> str:
        """The path of its objects in a namespace, or (None) in all of them."""
        if namespace is None:
            return f"{self.root}/{self.plural}"
        return f"{self.root}/namespaces/{quote(namespace, safe='')}/{self.plural}"

    def path(self, namespace: str, name: str, part: str = "") -> str:
        """The path of one object, or of a part of it, such as "/status"."""
        return f"{self.collection(namespace)}/{quote(name, safe='')}{part}"


JOBS = Kind(names.KIND, names.GROUP, names.VERSION, names.PLURAL)
PODS = Kind("Pod", "", "v1", "pods")
SERVICES = Kind("Service", "", "v1", "services")
CONFIG_MAPS = Kind("ConfigMap", "", "v1", "configmaps")
CLAIMS = Kind("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims")
EVENTS = Kind("Event", "", "v1", "events")
LEASES = Kind("Lease", "coordination.k8s.io", "v1", "leases")
