"""The other side of `operators.Nursery`: imports a module once, then forks it for each line of
stdin, {"env": {...}, "log": PATH}, and answers with a pid. Ends its children when stdin ends."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from types import ModuleType
from typing import Any


def main() -> None:
    module = importlib.import_module(sys.argv[1])
    children: set[int] = set()
    signal.signal(signal.SIGCHLD, lambda *_: _reap(children))
    for line in sys.stdin:
        child = _start(module, json.loads(line))
        children.add(child)
        print(child, flush=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def _start(module: ModuleType, order: Any) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.environ.update(order["env"])
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        code = int(module.main() or 0)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _reap(children: set[int]) -> None:
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitpid(-1, os.WNOHANG)[0]:
            children.discard(ended)


if __name__ == "__main__":
    main()
