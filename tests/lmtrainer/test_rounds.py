"""Tasks shared out among nodes: each is done once, everything is told, nobody waits in vain."""

import json
import threading
import time
from dataclasses import dataclass

import pytest

from lmtrainer.config import document
from lmtrainer.dataset import ALONE, Following, Leading, leading, rounds
from lmtrainer.dataset.crew import Crew
from lmtrainer.dataset.leading import Given
from lmtrainer.dataset.rounds import Round
from tests.lmtrainer.notes import SECONDS, Notes

ROUND = Round(
    kind="count", text="t", fingerprint="f", home="/h", tokenizer="k", numbers=(3, 5, 8, 9)
)


@dataclass(frozen=True)
class Task:
    size: int


TASKS = {number: Task(10 * number) for number in ROUND.numbers}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(rounds, "PULSE_SECONDS", SECONDS)


def act(member, task, on_read):
    time.sleep(SECONDS)
    on_read(task.size)
    member.append(task.size)
    return -task.size


def in_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def follow(board, done, seen):
    nodes = Following(board)
    for announced in nodes.rounds():
        seen.append(announced)
        nodes.take_part(Crew(done, 1), act, TASKS)


def test_a_node_alone_does_everything_and_announces_nothing():
    done, read = [], []
    found = dict(ALONE.each(Given(ROUND, act, TASKS), Crew(done, 1), read.append))
    assert found == {number: -10 * number for number in TASKS}
    assert done == read == [30, 50, 80, 90]


def test_each_task_of_each_round_is_done_once_by_whoever_is_free():
    board, mine, theirs, seen, read = Notes(here=3), [], [[], []], [[], []], []
    threads = [in_thread(lambda n=n: follow(board, theirs[n], seen[n])) for n in range(len(theirs))]
    leader = Leading(board)
    other = Round(**{**vars(ROUND), "kind": "encode", "firsts": (0, 1, 2, 3)})
    for announced in (ROUND, other):
        found = dict(leader.each(Given(announced, act, TASKS), Crew(mine, 1), read.append))
        assert found == {number: -10 * number for number in TASKS}
    leader.end()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert seen == [[ROUND, other]] * 2
    assert sorted([*mine, *theirs[0], *theirs[1]]) == sorted([30, 50, 80, 90] * 2)
    assert sum(read) == 2 * 250, "what others read is heard of, too"


def test_a_node_that_comes_late_takes_what_is_left_and_one_that_never_comes_is_not_waited_for():
    board, mine, theirs, seen = Notes(here=1), [], [], []
    leader = Leading(board)
    found = leader.each(Given(ROUND, act, TASKS), Crew(mine, 1), lambda count: None)
    assert next(found) == (3, -30)
    late = in_thread(lambda: follow(board, theirs, seen))
    late.join(SECONDS)
    rest = dict(found)
    assert set(rest) == {5, 8, 9}
    leader.end()
    late.join(5)
    assert sorted([*mine, *theirs]) == [30, 50, 80, 90]


def test_a_leader_that_is_done_waits_for_those_who_came_but_not_for_ever(monkeypatch):
    board = Notes(here=2)
    monkeypatch.setattr(leading, "LEAVE_SECONDS", 0.2)
    begun = time.monotonic()
    Leading(board).end()
    assert 0.2 < time.monotonic() - begun < 2


def test_a_group_that_is_gone_ends_the_work_of_the_others():
    class Gone(Exception):
        pass

    class Dies(Notes):
        def count(self, name):
            if self.counts[name] == 2:
                raise Gone
            return super().count(name)

    board, done = Dies(), []
    board.write("round/0", json.dumps(document(ROUND)))
    with pytest.raises(Gone):
        follow(board, done, [])
    assert done == [30, 50]
