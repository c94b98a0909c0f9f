"""`lmjob run ...` with nodes that train nothing: `run_fake_cli.py FILE [OPTIONS]`."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from lmjob.cli import main, run
from lmjob.local.run import run_job

FAKE_LAUNCHER = Path(__file__).with_name("fake_launcher.py")

if __name__ == "__main__":
    run.run_job = functools.partial(run_job, program=(sys.executable, str(FAKE_LAUNCHER)))
    code = main(["run", *sys.argv[1:]])
    heavy = {"torch", "transformers", "tokenizers", "numpy"} & set(sys.modules)
    assert not heavy, f"lmjob run imported {heavy}"
    sys.exit(code)
