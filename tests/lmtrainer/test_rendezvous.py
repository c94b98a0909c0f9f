"""The store where ranks meet: fence, claims, waits that end."""

import contextlib
import socket
import threading
import time

import pytest

from lmtrainer.faults import FencedError, InterruptedRunError, RendezvousError
from lmtrainer.parallel.rendezvous import (
    Fence,
    claim_node,
    connect,
    gather,
    handshake,
    open_store,
    start_told,
    tell_start,
    within,
)

FENCE = Fence("job-a", 2)


@pytest.fixture
def port():
    """Of a store of job-a, attempt 2."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    store = open_store(listener, FENCE)
    assert store.port == port
    yield port


def client(port, fence=FENCE, seconds=5.0):
    return connect("127.0.0.1", port, fence, seconds=seconds)


def test_a_client_of_the_same_attempt_gets_in(port):
    handshake(client(port), FENCE)


@pytest.mark.parametrize("needed", [True, False])
def test_the_word_of_the_leader_is_heard_once_it_is_said(port, needed):
    leader, other = client(port), client(port)
    assert start_told(other) is None
    tell_start(leader, needed=needed)
    assert start_told(leader) is needed
    assert start_told(other) is needed


@pytest.mark.parametrize(
    "other", [Fence("job-a", 1), Fence("job-a", 3), Fence("job-b", 2)], ids=str
)
def test_a_client_of_another_attempt_or_job_is_refused_and_both_are_named(port, other):
    with pytest.raises(FencedError) as caught:
        client(port, other)
    assert str(other) in str(caught.value)
    assert str(FENCE) in str(caught.value)


def test_a_client_that_comes_before_the_store_is_served_by_it():
    listener = socket.create_server(("127.0.0.1", 0))
    found = []
    port = listener.getsockname()[1]
    early = threading.Thread(target=lambda: found.append(client(port)))
    early.start()
    time.sleep(0.3)
    assert not found
    served = open_store(listener, FENCE)
    early.join(5)
    assert len(found) == 1
    assert served.port == port


def test_a_place_in_the_group_is_given_once(port):
    one, two = client(port), client(port)
    claim_node(one, 1, "first")
    claim_node(one, 1, "first")
    with pytest.raises(FencedError, match="already joined this attempt as node rank 1"):
        claim_node(two, 1, "second")
    claim_node(two, 2, "second")


def test_stray_connections_do_no_harm(port):
    for text in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 50, b""):
        with socket.create_connection(("127.0.0.1", port)) as stray:
            stray.sendall(text)
    handshake(client(port), FENCE)


def test_no_store_is_told_with_its_address_after_the_time_given():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(RendezvousError, match=f"127.0.0.1:{port} within 0.5 s: .*refused"):
        client(port, seconds=0.5)
    assert time.monotonic() - begun < 3


def test_ranks_meet(port):
    threads = [
        threading.Thread(target=gather, args=(client(port), rank, 3), kwargs={"seconds": 10})
        for rank in range(3)
    ]
    for thread in threads[:2]:
        thread.start()
    time.sleep(0.2)
    assert all(thread.is_alive() for thread in threads[:2])
    threads[2].start()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()


def test_ranks_that_are_missing_are_named(port):
    gather(client(port), 0, 1, seconds=1)
    with pytest.raises(RendezvousError, match=r"2 of 4 ranks did not join within 0.2 s: 2, 3$"):
        gather(client(port), 1, 4, seconds=0.2)


def test_a_wait_that_never_ends_is_given_up_in_time_and_named():
    with pytest.raises(RendezvousError, match=r"within 0\.2 s from the moon"):
        within(0.2, threading.Event().wait, what="the moon", watch=lambda: False)


def test_a_wait_is_given_up_when_asked_to():
    begun = time.monotonic()
    with pytest.raises(InterruptedRunError):
        within(30, threading.Event().wait, what="x", watch=lambda: time.monotonic() > begun + 0.2)
    assert time.monotonic() - begun < 2


def test_a_wait_gives_the_result_or_the_error():
    assert within(5, lambda: 3, what="x", watch=lambda: False) == 3
    with contextlib.suppress(ZeroDivisionError):
        within(5, lambda: 1 // 0, what="x", watch=lambda: False)
        raise AssertionError("the error is passed on")
