"""Holds an output folder until it is killed: `python hold_claim.py FOLDER CONFIG UID ATTEMPT`.

Prints "held" when it does. With a fifth word, `fork`, a child lives on with everything it
inherited; its pid is printed then.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from lmtrainer.config import ResolvedRun, parse
from lmtrainer.output import claim


def main(folder: str, config: str, uid: str, attempt: str, *more: str) -> None:
    run = parse(ResolvedRun, json.loads(config))
    with claim(Path(folder), run, uid, int(attempt)):
        child = os.fork() if more == ("fork",) else 1
        if child > 0:
            print("held", child, flush=True)
        time.sleep(60)


if __name__ == "__main__":
    main(*sys.argv[1:])
