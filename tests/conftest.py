"""Settings of all tests."""

import os

from hypothesis import settings

# Machines are noisy: slow is no failure. CI draws the same examples every time.
settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")
