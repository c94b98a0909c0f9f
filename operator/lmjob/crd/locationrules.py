"""Rules of locations in CEL, as `lmtrainer.config.sources` reads them."""

from __future__ import annotations

from lmjob.core.plan.places import local_paths
from lmjob.crd.cel import Cel, any_of, matches, told
from lmjob.crd.patterns import check
from lmtrainer.config import parse
from lmtrainer.config.run import RunConfig
from lmtrainer.config.sources import SCHEMES, location_mistakes

_BLANK = "^[ \t\n]*$"
_READ_ONLY = f"^({'|'.join(name for name, scheme in SCHEMES.items() if not scheme.writable)})://"
_OURS = any_of(*(f'self.startsWith("{name}://")' for name in SCHEMES if name != "file"))


def _told_of(location: str, rule: str, *, writable: bool = False) -> Cel:
    return told(rule, location_mistakes("", [location], single=True, writable=writable), whole=True)


def _authority(scheme: str) -> str:
    authority = SCHEMES[scheme].authority
    check(authority)
    return f'!self.startsWith("{scheme}://") || {matches("self", f"^{scheme}://{authority}(/|$)")}'


def _path() -> Cel:
    """A path of one machine: right for `lmjob run`, but who asks an API server has a cluster."""
    known = {"data": {"train": ["pvc://a/b"]}, "phases": [{"name": "a", "steps": 1}]}
    run = parse(RunConfig, {**known, "model": {"type": "bert"}, "output": {"to": "/a"}})
    another = f'self == "" || self.contains("://") || {matches("self", "^(pvc|sample):")}'
    return told(another, local_paths(run), whole=True)


LOCATION = (
    _path(),
    _told_of("", f"!{matches('self', _BLANK)}"),
    _told_of("pvc:a", f"{_OURS} || !{matches('self', '^(pvc|sample):')}"),
    _told_of("gs://a", f"{_OURS} || !{matches('self', '^[A-Za-z][-A-Za-z0-9+.]*://')}"),
    _told_of("pvc://_", _authority("pvc")),
    _told_of("sample://_", _authority("sample")),
    _told_of("pvc://a/..", f"!({_OURS}) || !{matches('self', '/[.][.](/|$)')}"),
)
WRITABLE = (
    *LOCATION,
    _told_of("sample://a", f"!{matches('self', _READ_ONLY)}", writable=True),
    _told_of("pvc://a/*", f"!{matches('self', '[*?[]')}", writable=True),
    _told_of("pvc://results", f"!{matches('self', '^pvc://[^/]*(/[.]?)*$')}", writable=True),
    _told_of("/", f"!{matches('self', '^/([.]{0,2}(/|$))*$')}", writable=True),
)
