"""Which exceptions tell of another's end. That gloo really says so is seen in test_groups."""

import pytest
from torch.distributed import DistBackendError, DistNetworkError, DistStoreError

from lmtrainer.faults import FencedError, UserError
from lmtrainer.launch.peers import exit_type_of

GLOO = "[/x/gloo/gloo/transport/tcp/pair.cc:553] "


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError(GLOO + "Connection closed by peer [127.0.0.1]:1."), "PEER_LOST"),
        (RuntimeError(GLOO + "Read error [::1]:2: Connection reset by peer."), "PEER_LOST"),
        (
            RuntimeError(
                "[/x/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 8000ms for recv "
                "operation to complete"
            ),
            "PEER_LOST",
        ),
        (DistBackendError("NCCL error: ncclRemoteError: a call failed"), "PEER_LOST"),
        (caused(RuntimeError("step failed"), RuntimeError(GLOO + "Broken pipe")), "PEER_LOST"),
        (DistStoreError("wait timeout"), "RENDEZVOUS_FAILED"),
        (DistNetworkError("Connection reset by peer"), "RENDEZVOUS_FAILED"),
        (RuntimeError("Connection closed by peer"), "FAILED"),
        (ConnectionResetError(104, "Connection reset by peer"), "FAILED"),
        (RuntimeError(GLOO + "enforce fail: wrong size"), "FAILED"),
        (DistBackendError("ncclInvalidUsage"), "FAILED"),
        (UserError(GLOO + "Connection closed by peer"), "USER_ERROR"),
        (FencedError("x"), "FENCED"),
        (OSError(28, "No space left on device"), "DISK_FULL"),
    ],
)
def test_an_exception_is_judged(error, expected):
    assert exit_type_of(error).name == expected


def test_what_was_being_handled_is_not_the_cause():
    try:
        try:
            raise RuntimeError(GLOO + "Connection closed by peer")
        except RuntimeError:
            raise KeyError("ours") from None
    except KeyError as error:
        assert exit_type_of(error).name == "FAILED"
