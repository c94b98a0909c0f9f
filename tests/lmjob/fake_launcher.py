"""A launcher that speaks the contract and trains nothing: the local runner's tests start it.

The variable FAKE holds a JSON object of what this node is to do:
    folder      where the journal and the checkpoint of the fake training lie
    steps, pause, every   steps of training, seconds of each, steps between checkpoints
    ready_after           seconds until /readyz answers
    faults      {"<attempt>": {"at": step, "exit": exit type or "kill" or "silent"}}
    orphan      start a rank that outlives the launcher
    save        seconds that a graceful end takes
    saves       whether it leaves a checkpoint
    asked       names of variables; the journal says which of them are set
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from lmtrainer.config import ResolvedRun, config_hash, parse
from lmtrainer.contract.environment import ATTEMPT, DIE_WITH_PARENT, from_env
from lmtrainer.contract.exits import ExitType
from lmtrainer.contract.reports import (
    ANNOUNCEMENT_FILE,
    Announcement,
    Completion,
    Failure,
    Position,
    Progress,
    Termination,
    dump,
)

if os.environ.get(DIE_WITH_PARENT):
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)

FAKE = json.loads(os.environ["FAKE"])
NODE = from_env(os.environ)
STAGE = sys.argv[sys.argv.index("--stage") + 1]
RUN = parse(ResolvedRun, json.loads(Path(sys.argv[sys.argv.index("--config") + 1]).read_text()))
FOLDER = Path(FAKE["folder"])
TRAINS = STAGE == "train"
STEPS = FAKE.get("steps", 4) if TRAINS else 1
STARTED = time.monotonic()
state = {"step": 0, "stop": False}


def journal(event: str, **facts: object) -> None:
    line = {"event": event, "stage": STAGE, "rank": NODE.node_rank, "attempt": NODE.attempt}
    text = json.dumps({**line, "pid": os.getpid(), "at": time.time(), **facts}) + "\n"
    descriptor = os.open(FOLDER / "journal.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def of_other_attempts() -> list[int]:
    """pids of live processes of this job with another attempt number."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            pairs = (entry / "environ").read_bytes().split(b"\0") if entry.name.isdigit() else []
            dead = "Z" in (entry / "stat").read_text().rpartition(")")[2][:3] if pairs else True
        except OSError:
            continue
        same = f"LMTRAINER_JOB_UID={NODE.job_uid}".encode() in pairs
        here = any(str(FOLDER).encode() in pair for pair in pairs)
        if same and here and not dead and f"{ATTEMPT}={NODE.attempt}".encode() not in pairs:
            found.append(int(entry.name))
    return found


def write(name: str, text: str) -> None:
    path = Path(NODE.node_dir) / name
    path.with_suffix(".tmp").write_text(text)
    path.with_suffix(".tmp").rename(path)


def position(step: int) -> Position | None:
    return Position(phase_index=0, step=step, phase="main") if TRAINS else None


def make_durable(step: int) -> None:
    (FOLDER / "durable.tmp").write_text(str(step))
    (FOLDER / "durable.tmp").rename(FOLDER / "durable")


def durable_step() -> int:
    path = FOLDER / "durable"
    return int(path.read_text()) if TRAINS and path.exists() else 0


def end(kind: ExitType, message: str = "", completion: Completion | None = None) -> None:
    word = Termination(
        job_uid=NODE.job_uid,
        attempt=NODE.attempt,
        stage=STAGE,  # type: ignore[arg-type]
        node_rank=NODE.node_rank,
        exit_type=kind.name,
        failure=Failure(message=message, rank=NODE.node_rank) if message else None,
        completion=completion,
        durable=position(durable_step()) if durable_step() else None,
    )
    Path(NODE.termination_log).write_text(dump(word))
    journal("end", kind=kind.name)
    os._exit(kind.code)


def progress() -> Progress:
    step = int(state["step"])
    return Progress(
        job_uid=NODE.job_uid,
        attempt=NODE.attempt,
        stage=STAGE,  # type: ignore[arg-type]
        activity="phase main" if TRAINS else STAGE,
        done=step,
        total=STEPS,
        position=position(step),
        durable=position(durable_step()) if durable_step() else None,
        loss=9.0 - step / 10,
    )


def serve(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        path = connection.recv(4096).split()[1].decode()
        ready = time.monotonic() >= STARTED + FAKE.get("ready_after", 0)
        ok = ready or path != "/readyz"
        body = dump(progress()) if path == "/progress" else "ok"
        head = f"HTTP/1.1 {200 if ok else 503} x\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall((head + body).encode())
        connection.close()


def listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener


def interrupted(number: int, frame: object) -> None:
    state["stop"] = True


def misbehave(step: int) -> None:
    fault = FAKE.get("faults", {}).get(str(NODE.attempt))
    if not fault or fault["at"] != step:
        return
    journal("fault", kind=fault["exit"])
    if fault["exit"] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault["exit"] == "silent":
        os._exit(0)
    end(ExitType[fault["exit"]], f"made to fail at step {step}")


def main() -> None:
    known = [name for name in FAKE.get("asked", ()) if name in os.environ]
    ready_after = FAKE.get("ready_after", 0)
    journal("start", others=of_other_attempts(), ready_after=ready_after, known=known)
    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGINT, lambda *_: journal("terminal's SIGINT"))
    status, master = listen(), listen()
    if not NODE.is_master:
        socket.create_connection((NODE.master_addr, NODE.master_port), timeout=2).close()
    threading.Thread(target=serve, args=(status,), daemon=True).start()
    if FAKE.get("orphan"):
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    ports = {"status_port": status.getsockname()[1], "master_port": master.getsockname()[1]}
    write(ANNOUNCEMENT_FILE, dump(Announcement(pid=os.getpid(), **ports)))
    while time.monotonic() < STARTED + FAKE.get("ready_after", 0) and not state["stop"]:
        time.sleep(0.01)
    state["step"] = durable_step()
    train()


def train() -> None:
    while state["step"] < STEPS or not everybody_is_here():
        if state["stop"]:
            time.sleep(FAKE.get("save", 0))
            if NODE.is_master and TRAINS and FAKE.get("saves"):
                make_durable(int(state["step"]))
            end(ExitType.INTERRUPTED)
        misbehave(int(state["step"]))
        time.sleep(FAKE.get("pause", 0.02))
        if state["step"] < STEPS and everybody_is_here():
            state["step"] = int(state["step"]) + 1
        if NODE.is_master and TRAINS and state["step"] % FAKE.get("every", 1000) == 0:
            make_durable(int(state["step"]))
    record = Completion(
        stage=STAGE,  # type: ignore[arg-type]
        job_uid=NODE.job_uid,
        attempt=NODE.attempt,
        config_hash=FAKE.get("config_hash") or config_hash(RUN),
        position=position(100 if TRAINS else 0),
        target=position(100 if TRAINS else 0),
        manifest_sha256="ab" * 32,
    )
    end(ExitType.SUCCEEDED, completion=record)


def everybody_is_here() -> bool:
    """A group trains only as a whole: every node of this attempt has started."""
    lines = (FOLDER / "journal.jsonl").read_text().splitlines()
    here = {
        line["rank"]
        for line in map(json.loads, lines)
        if (line["event"], line["stage"], line["attempt"]) == ("start", STAGE, NODE.attempt)
    }
    return len(here) == NODE.nnodes


if __name__ == "__main__":
    main()
