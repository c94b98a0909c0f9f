"""`python -m lmjob`."""

import sys

from lmjob.cli import main

if __name__ == "__main__":
    sys.exit(main())
