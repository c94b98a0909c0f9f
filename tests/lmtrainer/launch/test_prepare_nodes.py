"""Several launchers as the nodes that prepare one dataset: same bytes, whoever dies on the way."""

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from lmtrainer.config import RunConfig, document, parse, resolve
from lmtrainer.contract.reports import PROGRESS_FILE, Progress, load
from tests.lmtrainer.launch.conftest import eventually
from tests.runs import jargon

pytestmark = pytest.mark.slow

TEXT = jargon(600)
SIZE, FILES = 150_000, 5
WHO_DID = "did"

# The real stage, of small parts. Nodes note that they came and what they encode; the leader begins
# with the parts, and ends, when it is told to.
PREPARES = f"""
import pathlib, time
from lmtrainer.dataset import build, reading, tasks
from lmtrainer.parallel.board import Board
from lmtrainer.stages import prepare
from lmtrainer.stages.bytes import Bytes
from lmtrainer.text import parts
parts.SMALLEST, reading.WORTH_SHARING = 15_000, 0
real = tasks.encode
def encode(sided, vocabulary, writer, **options):
    real(sided, vocabulary, writer, **options)
    time.sleep(PAUSE)
    with (folder / "{WHO_DID}").open("a") as file:
        file.write("part\\n")
def told(function):
    def waits(*arguments):
        while not (folder / "go").exists():
            look()
            time.sleep(0.05)
        function(*arguments)
    return waits
def noted(read):
    def reads(self, name):
        found = read(self, name)
        (folder / "joined").touch()
        return found
    return reads
tasks.encode = encode
build.build_dataset, prepare.leave_record = map(told, (build.build_dataset, prepare.leave_record))
Board.read = noted(Board.read)
def run(context):
    global folder, look
    folder = pathlib.Path(context.node.node_dir)
    look = lambda: Bytes(context)("wait", 0, None)
    prepare.run(context)
"""


@pytest.fixture
def prepare(tmp_path, start_node):
    """Starts the nodes of an attempt at one output, of text that is cut into some ten parts."""
    text = tmp_path / "text"
    text.mkdir()
    for number in range(FILES):
        share = TEXT.encode()[number * SIZE // FILES : (number + 1) * SIZE // FILES]
        (text / f"{number}.txt").write_bytes(share)

    def start(count, *, output="out", attempt=1, pause=0.0, claims=None, **data):
        plain = {
            "seed": 1,
            "data": {"train": ["pvc://text/*.txt"], "processes": 1, **data},
            "tokenizer": {"train": {"type": "wordpiece", "vocabSize": 300}},
            "model": {"type": "bert", "preset": "tiny"},
            "phases": [{"name": "main", "steps": 5, "sequenceLength": 32, "globalBatchSize": 8}],
            "output": {"to": str(tmp_path / output)},
        }
        config = document(resolve(parse(RunConfig, plain), precision="fp32", threads=1))
        fields = {"config": config, "as_stage": True, "attempt": attempt, "nnodes": count}
        nodes, port = [], 0
        for rank in range(count):
            seen = {"text": str((claims or {}).get(rank, text))}
            own = {"node_rank": rank, "master_port": port, "claims": seen}
            nodes.append(start_node(PREPARES.replace("PAUSE", str(pause)), **fields, **own))
            if rank == 0 and count > 1:
                nodes[0].get("/healthz")
                port = nodes[0].announcement.master_port
        return nodes

    return start


def go(nodes):
    """All are there: let the leader begin."""
    for node in nodes[1:]:
        eventually(lambda node=node: (node.folder / "joined").exists())
    (nodes[0].folder / "go").touch()


def manifest(tmp_path, output="out"):
    return (tmp_path / output / "dataset" / "manifest.json").read_bytes()


def ended_well(nodes):
    for node in nodes:
        word = node.end(60)
        assert word.exit_type == "SUCCEEDED", node.output


def parts_of(node):
    path = node.folder / WHO_DID
    return len(path.read_text().split()) if path.exists() else 0


def kill(node, number=signal.SIGKILL):
    """The rank of a node, not its launcher."""
    launcher = node.process.pid
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    os.kill(int(children[0]), number)


def test_any_number_of_nodes_makes_the_same_bytes(prepare, tmp_path):
    found, shared = {}, {}
    for count in (1, 2, 3):
        nodes = prepare(count, output=f"out-{count}", pause=0.3 if count > 1 else 0.0)
        go(nodes)
        ended_well(nodes)
        found[count] = manifest(tmp_path, f"out-{count}")
        shared[count] = [parts_of(node) for node in nodes]
    assert found[1] == found[2] == found[3]
    parts = json.loads(found[1])["facts"]["train"]
    assert len(parts) > 8
    for count, done in shared.items():
        assert sum(done) == sum(shared[1]), "every part is made once"
        assert len(done) == count and all(done), f"each node has a share: {done}"
    progress = load(Progress, (nodes[0].folder / PROGRESS_FILE).read_text())
    assert progress.activity == "encode text"
    assert progress.done == progress.total == SIZE, "those of other nodes count as well"
    assert progress.kept == SIZE, "a fault now would cost nothing"
    assert not list((tmp_path / "out-3").glob("parts-*"))


def test_parts_that_were_done_before_a_node_was_killed_are_kept(prepare, tmp_path):
    (alone,) = prepare(1, output="alone")
    go([alone])
    ended_well([alone])
    nodes = prepare(2, pause=0.5)
    go(nodes)
    eventually(lambda: parts_of(nodes[1]) >= 2)
    kill(nodes[1])
    assert nodes[1].end().exit_type == "KILLED"
    nodes[0].process.send_signal(signal.SIGTERM)  # as whoever runs the group does
    begun = time.monotonic()
    assert nodes[0].end().exit_type == "INTERRUPTED", nodes[0].output
    assert time.monotonic() - begun < 4, "asked to end, it does not wait for the others"
    (place,) = (tmp_path / "out").glob("parts-*")
    kept = {path.stat().st_ino for path in place.glob("0*/*.tokens")}
    done = len(list(place.glob("0*/manifest.json")))
    assert done >= 3
    again = prepare(2, attempt=2)
    go(again)
    ended_well(again)
    assert sum(map(parts_of, again)) == parts_of(alone) - done
    assert kept <= {path.stat().st_ino for path in (tmp_path / "out" / "dataset").iterdir()}
    assert manifest(tmp_path) == manifest(tmp_path, "alone")


def test_the_others_end_with_the_leader(prepare):
    nodes = prepare(2, pause=0.5)
    go(nodes)
    eventually(lambda: parts_of(nodes[1]) >= 1)
    nodes[0].process.kill()
    begun = time.monotonic()
    assert nodes[1].end().exit_type == "RENDEZVOUS_FAILED", nodes[1].output
    assert time.monotonic() - begun < 10


def test_who_waits_for_the_leader_gives_signs_of_life_and_ends_when_asked(prepare):
    nodes = prepare(2)
    eventually(lambda: (nodes[1].folder / "joined").exists())
    beats = nodes[1].folder / "heartbeat-1"
    before = beats.stat().st_mtime
    eventually(lambda: beats.stat().st_mtime > before)
    assert nodes[1].get("/readyz")[0] == 200
    begun = time.monotonic()
    for node in reversed(nodes):
        node.process.send_signal(signal.SIGTERM)
        assert node.end().exit_type == "INTERRUPTED", node.output
    assert time.monotonic() - begun < 4


def test_where_nothing_is_left_to_do_the_others_end_well(prepare, tmp_path):
    (alone,) = prepare(1)
    go([alone])
    ended_well([alone])
    before = manifest(tmp_path)
    nodes = prepare(2, attempt=2)
    go(nodes)
    ended_well(nodes)
    assert parts_of(nodes[0]) == parts_of(nodes[1]) == 0
    assert manifest(tmp_path) == before


def test_a_node_that_sees_other_text_says_so(prepare, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(tmp_path / "text", other)
    with (other / "1.txt").open("a") as file:
        file.write("!")
    nodes = prepare(2, claims={1: other})
    go(nodes)
    word = nodes[1].end()
    assert word.exit_type == "FAILED"
    assert "data.train: this node sees other text than the leader" in word.failure.message
