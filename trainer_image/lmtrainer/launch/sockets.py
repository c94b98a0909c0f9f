"""Listening sockets of a node. They are bound before anything else, so that the real port is known
(and a taken one noticed) at once; early clients wait in the backlog."""

from __future__ import annotations

import socket

from lmtrainer.contract.environment import is_loopback
from lmtrainer.faults import RendezvousError

_BACKLOG = 2048
"""All ranks of a large job may come at once; the kernel lowers it to its own limit."""


def listen(master_addr: str, port: int, *, purpose: str) -> socket.socket:
    """A socket on `port` (0: a free one): on loopback if the group is on this machine only, else on
    all interfaces. RendezvousError if the port cannot be had."""
    try:
        if is_loopback(master_addr):
            family = socket.AF_INET6 if ":" in master_addr else socket.AF_INET
            return socket.create_server((master_addr, port), family=family, backlog=_BACKLOG)
        if socket.has_dualstack_ipv6():
            return socket.create_server(
                ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
            )
        return socket.create_server(("", port), backlog=_BACKLOG)
    except OSError as error:
        raise RendezvousError(
            f"{purpose}: cannot listen on port {port} ({error.strerror}); end what uses the port, "
            "or give 0 for a free one"
        ) from error


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])
