"""What a node answers while it runs."""

import json
import os
import signal
import socket
import struct
from pathlib import Path

from lmtrainer.contract.reports import Position, Progress, load

WORKS = """
import os, pathlib, time
from lmtrainer.contract.reports import Position, Progress
from lmtrainer.progress import RankReports
folder = os.environ["LMTRAINER_NODE_DIR"]
reports = RankReports(folder, int(os.environ["RANK"]))
reports.progress(Progress(activity="phase main", done=3, total=10, loss=float("nan"),
                          position=Position(phase_index=0, step=3)))
pathlib.Path(folder, f"pid-{os.environ['RANK']}").write_text(str(os.getpid()))
while True:
    reports.heartbeat()
    time.sleep(0.02)
"""


def test_a_node_without_a_group_is_ready_when_its_rank_runs(start_node):
    node = start_node(WORKS)
    node.file("pid-0")
    assert node.get("/readyz") == (200, "ready\n")
    assert node.get("/healthz") == (200, "healthy\n")
    assert node.get("/elsewhere")[0] == 404


def test_a_node_that_is_ending_is_not_ready(start_node, wait_for):
    node = start_node("import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)")
    node.get("/healthz")
    node.process.terminate()
    wait_for(lambda: node.get("/readyz") == (503, "the node is ending\n"))
    assert node.get("/healthz")[0] == 200


def test_progress_of_rank_0_is_served_with_the_age_of_every_sign_of_life(start_node, wait_for):
    node = start_node(WORKS, nproc_per_node=2, attempt=4)
    node.file("pid-0"), node.file("pid-1")
    progress = load(Progress, node.get("/progress")[1])
    assert (progress.job_uid, progress.attempt, progress.stage) == ("job-a", 4, "train")
    assert (progress.activity, progress.done, progress.total) == ("phase main", 3, 10)
    assert progress.position == Position(phase_index=0, step=3)
    assert progress.loss is None, "JSON has no NaN"
    assert progress.heartbeats.keys() == {"0", "1"}
    assert all(0 <= age < 2 for age in progress.heartbeats.values())


def test_a_hung_rank_0_does_not_silence_its_node(start_node, wait_for):
    node = start_node(WORKS, nproc_per_node=2)
    hung = int(node.file("pid-0"))
    node.file("pid-1")
    os.kill(hung, signal.SIGSTOP)

    def ages():
        return json.loads(node.get("/progress")[1])["heartbeats"]

    wait_for(lambda: ages()["0"] > 0.5)
    assert ages()["1"] < 0.5
    assert load(Progress, node.get("/progress")[1]).done == 3
    assert node.get("/healthz")[0] == 200


def test_a_rank_that_never_reported_has_an_age_since_its_start(start_node, wait_for):
    node = start_node("import time; time.sleep(60)")
    node.get("/healthz")
    found = wait_for(lambda: load(Progress, node.get("/progress")[1]).heartbeats.get("0", 0) > 0.2)
    assert found


def test_a_half_written_progress_file_of_a_script_is_passed_over(start_node):
    node = start_node(
        """
        import os, pathlib, time
        folder = pathlib.Path(os.environ["LMTRAINER_NODE_DIR"])
        (folder / "progress.json").write_text('{"done": 3, ')
        (folder / "pid-0").write_text("1")
        time.sleep(60)
        """
    )
    node.file("pid-0")
    status, text = node.get("/progress")
    assert status == 200
    assert load(Progress, text).done == 0


def test_probes_answer_while_silent_clients_hold_connections(start_node):
    node = start_node(WORKS)
    node.file("pid-0")
    held = [
        socket.create_connection(("127.0.0.1", node.announcement.status_port)) for _ in range(20)
    ]
    assert node.get("/readyz")[0] == 200
    for connection in held:
        connection.close()


def test_a_launcher_alone_listens_on_loopback_only(start_node):
    node = start_node(WORKS)
    node.file("pid-0")
    port = f"{node.announcement.status_port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    assert f"0100007F:{port}" in listening
    assert f"00000000:{port}" not in listening


def test_clients_that_go_away_before_their_answer_leave_no_trace_in_the_log(start_node):
    node = start_node(WORKS)
    node.file("pid-0")
    reset = struct.pack("ii", 1, 0)
    for _ in range(50):
        client = socket.create_connection(("127.0.0.1", node.announcement.status_port))
        client.sendall(b"GET /progress HTTP/1.0\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        client.close()
    assert node.get("/readyz")[0] == 200
    assert node.output == ""
