"""Settings of all tests."""

import os
from typing import Any

import pytest
from hypothesis import settings

# Machines are noisy: slow is no failure. CI draws the same examples every time.
settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")


@pytest.hookimpl(optionalhook=True)  # of xdist, where that is used
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """What shares something costly stays in one process: the cluster, a finished job, a file. (The
    marks that xdist has for this do nothing with pytest 9.2.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByHome(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            shared = ("tests/cluster/", "tests/local/")
            return next((home for home in shared if file.startswith(home)), file)

    return ByHome(config, log)
