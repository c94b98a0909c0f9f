"""`python -m lmjob.crd` prints the file in manifests/crd."""

import sys

from lmjob.crd import crd_file

sys.stdout.write(crd_file())
