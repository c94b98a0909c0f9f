"""The record of a Lease, and who may take it: values in, values out. Caller: `lmjob.kube.lease`.

The algorithm is that of client-go's leaderelection: a candidate never compares a time in the record
with its own clock. It watches the record, and only when its own monotonic clock has run through the
holder's duration without the record changing does it take over.
"""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any

from lmjob.kube.kinds import LEASES
from lmjob.kube.transport import Object


@dataclass(frozen=True, kw_only=True)
class LeaseSettings:
    """Of one candidate. All candidates for a lease should have the same `seconds`."""

    namespace: str
    name: str
    identity: str
    """Unique among candidates; who comes back with the same one takes over at once."""
    seconds: float = 15.0
    """How long a leader counts after its last renewal."""

    @property
    def renew_seconds(self) -> float:
        """Between two renewals."""
        return self.seconds / 5

    @property
    def retry_seconds(self) -> float:
        """Between a renewal that failed and the next try."""
        return self.seconds / 50

    @property
    def renew_deadline(self) -> float:
        """A leader stops leading so long after it sent its last good renewal. Its work has the rest
        of the lease to end before anybody else can lead."""
        return self.seconds * 2 / 3

    @property
    def look_seconds(self) -> float:
        """Between two looks of a candidate that stands by: so much may a takeover come later."""
        return self.seconds / 10


@dataclass(frozen=True)
class Sighting:
    """A record, and when it was first seen so."""

    lease: Object
    since: float
    """Monotonic."""

    @property
    def holder(self) -> str:
        return self.lease["spec"].get("holderIdentity") or ""

    def free_at(self, settings: LeaseSettings) -> float:
        """When this candidate may take the lease, if the record does not change until then."""
        if self.holder in ("", settings.identity):
            return self.since
        asked = self.lease["spec"].get("leaseDurationSeconds") or 0
        return self.since + max(float(asked), settings.seconds)


def sight(lease: Object, before: Sighting | None, now: float) -> Sighting:
    """A record as read; an unchanged one keeps the time of its first sighting."""
    lease = {**lease, "spec": lease.get("spec") or {}}
    same = before is not None and _identity(before.lease) == _identity(lease)
    return Sighting(lease, before.since if same and before is not None else now)


def next_look(seen: Sighting | None, settings: LeaseSettings, now: float) -> float:
    """Seconds until a candidate looks again: in time with the end of the lease, so that no wait is
    added to it."""
    left = seen.free_at(settings) - now if seen is not None else 0.0
    return left if 0 < left < settings.look_seconds else settings.look_seconds


def _identity(lease: Object) -> tuple[str, Any]:
    return lease["metadata"]["uid"], lease["spec"]


def taken(settings: LeaseSettings, before: Object | None, unix: float) -> Object:
    """The record that makes this candidate the holder, in place of `before`."""
    old = before["spec"] if before else {}
    held = old.get("holderIdentity") == settings.identity
    spec = {
        "holderIdentity": settings.identity,
        "leaseDurationSeconds": math.ceil(settings.seconds),
        "acquireTime": old.get("acquireTime") if held else _micro_time(unix),
        "renewTime": _micro_time(unix),
        "leaseTransitions": int(old.get("leaseTransitions") or 0) + (not held and bool(before)),
    }
    return {**(before or _new(settings)), "spec": spec}


def released(before: Object, unix: float) -> Object:
    """The record without a holder: anybody may take it at once."""
    spec = {
        "holderIdentity": "",
        "leaseDurationSeconds": 1,
        "acquireTime": _micro_time(unix),
        "renewTime": _micro_time(unix),
        "leaseTransitions": int(before["spec"].get("leaseTransitions") or 0),
    }
    return {**before, "spec": spec}


def _new(settings: LeaseSettings) -> Object:
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": settings.name, "namespace": settings.namespace},
    }


def _micro_time(unix: float) -> str:
    """RFC 3339 with six digits; for people only."""
    moment = datetime.datetime.fromtimestamp(unix, datetime.UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
