"""SIGTERM and SIGINT become a request to stop, in the launcher and in every rank alike."""

from __future__ import annotations

import signal

from lmtrainer.stage import StopRequest


def stop_on_signals() -> StopRequest:
    """From now on SIGTERM and SIGINT do nothing but set the request that is returned.

    So a second signal changes nothing: it neither shortens nor repeats the end that has begun.
    """
    stop = StopRequest()

    def request(number: int, frame: object) -> None:
        stop.requested = True

    signal.signal(signal.SIGTERM, request)
    signal.signal(signal.SIGINT, request)
    return stop
