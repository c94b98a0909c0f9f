"""Settings of all tests."""

import os

import pytest
from hypothesis import settings

# Machines are noisy: slow is no failure. CI draws the same examples every time.
settings.register_profile("tests", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)  # xdist, which looks for the groups, was there before this file
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What shares something costly stays in one process: the cluster, a finished job, a file."""
    if not config.pluginmanager.has_plugin("xdist"):
        return
    for item in items:
        home = item.path.relative_to(config.rootpath).parts
        shared = home[1] if home[1] in ("cluster", "local") else "/".join(home)
        item.add_marker(pytest.mark.xdist_group(shared))
