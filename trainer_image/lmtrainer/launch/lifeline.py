"""Processes that do not outlive the one that started them. Linux only; elsewhere nothing happens.

Callers: a rank, tied to its launcher; the launcher, tied to the local runner.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """SIGKILL this process once `parent` is gone, or rather the thread of it that started us.

    Set by the process itself: between fork and exec, in a parent with threads, it is not safe.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it went before the call above
        os.kill(os.getpid(), signal.SIGKILL)


def reap_strangers(own: frozenset[int]) -> None:
    """As process 1 of a container, take the exit status of adopted orphans, or they stay zombies.

    Children in `own` are left to who waits for them.
    """
    if os.getpid() != 1:
        return
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid in own:
            return
        os.waitpid(ended.si_pid, 0)
