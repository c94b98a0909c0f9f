"""The output folder of a run: whose it is, who writes, what is done, what was measured.

    identity     run.json: which run the folder belongs to, and which folder a job gets
    claim        one writer at a time, and a fence against older attempts
    lock         the file lock below a claim
    records      proofs that a stage is done
    metrics      metrics.jsonl
    copy         the same results in a store: whole, proven
    reservation  whose prefix of the store it is
    selection    which files are copied there

Called by the stages, before they write anything. What may not live here: tensors, text, data.
"""

from lmtrainer.output.claim import Claim, claim
from lmtrainer.output.identity import RunIdentity, read_identity, resolve
from lmtrainer.output.metrics import METRICS_FILE, MetricsLog, read_metrics, row_of
from lmtrainer.output.records import forget_records, read_record, verified_record, write_record

__all__ = [
    "METRICS_FILE",
    "Claim",
    "MetricsLog",
    "RunIdentity",
    "claim",
    "forget_records",
    "read_identity",
    "read_metrics",
    "read_record",
    "resolve",
    "row_of",
    "verified_record",
    "write_record",
]
