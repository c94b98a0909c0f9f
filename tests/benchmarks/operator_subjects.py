"""The three operators that are compared, as processes, and what /proc tells of them."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from tests.benchmarks import operator_floor

NO_AGENT = ""
"""Of requests by the standard library's client: only the plain operator makes them here."""
ROOT = Path(__file__).parents[2]
READY_SECONDS = 60.0
_TICK = os.sysconf("SC_CLK_TCK")
_MIB = 1024.0


@dataclass(frozen=True)
class Usage:
    """Of a process since its start."""

    cpu_seconds: float
    rss_mib: float
    peak_mib: float


@dataclass(kw_only=True)
class Subject:
    """One of the three. `agents`: the user agents of its requests."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    agents: tuple[str, ...]
    says_running: bool
    log: Path
    health: str = ""
    process: asyncio.subprocess.Process | None = field(default=None, init=False)

    def of_namespace(self, namespace: str) -> Subject:
        """The same with eyes for one namespace only."""
        scope = {"BENCH_NAMESPACE": namespace, "LMJOB_NAMESPACES": namespace}
        everywhere = {"-A": f"--namespace={namespace}"}
        command = tuple(everywhere.get(word, word) for word in self.command)
        return dataclasses.replace(self, command=command, environment={**self.environment, **scope})

    async def start(self) -> float:
        """The monotonic time of its exec."""
        with self.log.open("ab") as sink:
            began = time.monotonic()
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                cwd=ROOT,
                env={**os.environ, **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        return began

    async def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)
            await self.process.wait()
        self.process = None

    async def ready(self) -> None:
        """Until it is at work: by its own word, or (no word) after a few seconds."""
        if not self.health:
            await asyncio.sleep(4.0)
            return
        until = time.monotonic() + READY_SECONDS
        async with aiohttp.ClientSession() as http:
            while time.monotonic() < until:
                try:
                    async with http.get(self.health) as answer:
                        if answer.status == 200:
                            await asyncio.sleep(3.0)  # its watches come after its first listing
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)
        raise TimeoutError(f"{self.name} is not ready; see {self.log}")

    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def usage(self) -> Usage:
        assert self.process is not None
        return usage_of(self.process.pid)


def usage_of(pid: int) -> Usage:
    proc = Path(f"/proc/{pid}")
    words = (proc / "stat").read_text().rpartition(")")[2].split()
    lines = dict(
        line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line
    )
    return Usage(
        cpu_seconds=(int(words[11]) + int(words[12])) / _TICK,
        rss_mib=int(lines["VmRSS"].split()[0]) / _MIB,
        peak_mib=int(lines["VmHWM"].split()[0]) / _MIB,
    )


def subjects(folder: Path, kubeconfig: Path, image: str) -> dict[str, Subject]:
    """floor, naive and ours, in this order."""
    templates = str(folder / "templates.json")
    port = _free_port()
    python, config = sys.executable, {"KUBECONFIG": str(kubeconfig)}
    made = (
        Subject(
            name="floor",
            command=(python, "-m", "tests.benchmarks.operator_floor", templates),
            environment=config,
            agents=(operator_floor.AGENT,),
            says_running=False,
            log=folder / "floor.log",
        ),
        Subject(
            name="naive",
            command=(
                *(python, "-m", "kopf", "run", "-A", "--standalone", "--quiet"),
                *("-m", "tests.benchmarks.operator_naive"),
            ),
            environment={**config, "BENCH_TEMPLATES": templates},
            agents=("kopf", NO_AGENT),
            says_running=True,
            log=folder / "naive.log",
        ),
        Subject(
            name="ours",
            command=(python, "-m", "lmjob.kube.main"),
            environment={**config, "LMJOB_TRAINER_IMAGE": image, "LMJOB_HTTP_PORT": str(port)},
            agents=("kopf", "lmjob-operator"),
            says_running=True,
            log=folder / "ours.log",
            health=f"http://127.0.0.1:{port}/readyz",
        ),
    )
    return {subject.name: subject for subject in made}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
