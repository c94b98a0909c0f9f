"""The user's own kubectl, which knows every way to log in to a cluster. Nothing goes through a
shell. Caller: `lmjob cp`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

ANSWER_SECONDS = 60.0
"""After so long an answer will not come any more."""


class KubectlError(Exception):
    """kubectl is not there, or said no; the message is for people."""


@dataclass(frozen=True)
class Kubectl:
    """kubectl with the options that choose the cluster, such as ("--context", "lab")."""

    program: str
    options: tuple[str, ...] = ()

    def command(self, *words: str) -> list[str]:
        return [self.program, *self.options, *words]

    def ask(self, *words: str, given: Any = None) -> str:
        """What kubectl prints; KubectlError with its reason. `given` is sent to it as JSON."""
        text = None if given is None else json.dumps(given)
        try:
            done = subprocess.run(
                self.command(*words),
                input=text,
                capture_output=True,
                text=True,
                check=False,
                timeout=ANSWER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            raise KubectlError(f"no answer from the cluster in {ANSWER_SECONDS:g} s") from None
        if done.returncode:
            raise KubectlError(reason(done.stderr))
        return done.stdout

    def get(self, *words: str) -> Any:
        """An object, or a list of them."""
        return json.loads(self.ask("get", *words, "-o", "json"))


def find_kubectl(options: Sequence[str] = ()) -> Kubectl:
    """The kubectl on PATH; KubectlError if there is none."""
    program = shutil.which("kubectl")
    if program is None:
        raise KubectlError(
            "kubectl is not on PATH; the cluster is reached through it: install it, or mount the "
            "claim in a pod of your own"
        )
    return Kubectl(program, tuple(options))


@dataclass(frozen=True)
class Exec:
    """A program that runs in a pod."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def finish(self) -> tuple[int, str]:
        """Wait for its end: exit code and the first line that it complained with."""
        code = self.process.wait()
        self.errors.seek(0)
        return code, reason(self.errors.read().decode(errors="replace"))


@contextmanager
def running(kubectl: Kubectl, pod: str, container: str, program: Sequence[str]) -> Iterator[Exec]:
    """A program in a pod, with its standard input and output as pipes. It is gone afterwards."""
    command = kubectl.command("exec", "-i", pod, "-c", container, "--", *program)
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            yield Exec(process, errors)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    _close(pipe)


def _close(pipe: IO[bytes]) -> None:
    """What was not sent is not wanted any more."""
    try:
        pipe.close()
    except BrokenPipeError:
        return


def reason(errors: str) -> str:
    """The first line that says something; kubectl adds others about exit codes."""
    lines = [line.strip() for line in errors.splitlines()]
    told = [line for line in lines if line and not line.startswith("command terminated")]
    first = told[0] if told else "no reason was given"
    return first.removeprefix("error: ").removeprefix("Error from server ")
