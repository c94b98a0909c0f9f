"""`python -m lmtrainer`."""

import sys

from lmtrainer.cli import main

if __name__ == "__main__":
    sys.exit(main())
