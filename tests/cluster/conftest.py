"""Fixtures of the tests that need a cluster.

`api`, `namespace`: the cluster of KUBECONFIG, whatever it is. `lab`, `scene`: an API server of the
tests' own with scripted pods, brought up by the tool that LMJOB_CLUSTER_TOOL names. `machine`,
`release`, `site`: the cluster of KUBECONFIG with real nodes, and the operator installed by Helm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cluster.harness.api import Api
    from tests.cluster.harness.clusters import Cluster
    from tests.cluster.harness.operators import Nursery, Starter
    from tests.cluster.harness.scene import Lab, Scene
    from tests.cluster.harness.scripts import Play
    from tests.cluster.real.machine import Machine
    from tests.cluster.real.recovery import Recovery
    from tests.cluster.real.release import Release
    from tests.cluster.real.site import Site
    from tests.cluster.real.witness import Witness

CRD = Path(__file__).parents[2] / "manifests/crd/lmtrainingjobs.yaml"


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """Of the cluster that the tests may use."""
    named = os.environ.get("KUBECONFIG", "")
    if not named:
        pytest.skip("needs a cluster: set KUBECONFIG to its file")
    return Path(named)


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Iterator[Api]:
    """A client of that cluster, where our kind of object is known."""
    from tests.cluster.harness.access import read_access
    from tests.cluster.harness.api import Api

    with closing(Api(read_access(kubeconfig))) as client:
        client.apply_file(CRD)
        yield client


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """A fresh namespace of the `restricted` level."""
    from tests.cluster.harness.jobs import fresh_name, restricted

    name = fresh_name()
    api.create("namespaces", "", restricted(name))
    yield name
    api.delete("namespaces", "", name)


@pytest.fixture(scope="session")
def private_cluster() -> Iterator[Cluster]:
    """An API server of this session's own, without nodes; parts of it may be killed."""
    tool = os.environ.get("LMJOB_CLUSTER_TOOL", "")
    if not tool:
        pytest.skip("needs a cluster of its own: set LMJOB_CLUSTER_TOOL to the tool that makes one")
    from tests.cluster.harness.clusters import own_cluster

    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with own_cluster(Path(tool), f"tests-{worker}-{os.getpid()}") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def lab(private_cluster: Cluster) -> Iterator[Lab]:
    """The private cluster with its recorder and the scripted kubelet."""
    from tests.cluster.harness.api import Api
    from tests.cluster.harness.kubelet import Kubelet
    from tests.cluster.harness.loop import Loop
    from tests.cluster.harness.recorder import Recorder
    from tests.cluster.harness.scene import Lab

    with ExitStack() as stack:
        client = stack.enter_context(closing(Api(private_cluster.access)))
        client.apply_file(CRD)
        # Its garbage collector looks for new kinds only every 30 s, and when it begins.
        for word in (("stop", "--kill"), ("start",)):
            private_cluster.command(*word, "kube-controller-manager")
        loop, kubelet = Loop(), Kubelet(private_cluster.access)
        stack.callback(loop.close)
        recorder = Recorder(private_cluster.etcd)
        stack.callback(recorder.stop)
        loop.start_task(kubelet.run())
        yield Lab(private_cluster, client, recorder, loop, kubelet)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts operators quickly."""
    from tests.cluster.harness.operators import Nursery

    with closing(Nursery()) as found:
        yield found


@pytest.fixture
def stage(
    lab: Lab, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Scene]]:
    """Opens scenes: `stage(starter, play)`. Their operators' logs are shown if the test fails."""
    from tests.cluster.harness.scene import scene

    opened: list[Scene] = []
    request.node.stash[SCENES] = opened
    with ExitStack() as stack:

        def begin(starter: Starter, do: Play | None = None, **environment: str) -> Scene:
            opened.append(stack.enter_context(scene(lab, starter, tmp_path, do, **environment)))
            return opened[-1]

        yield begin


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The cluster of KUBECONFIG, whose nodes are hosts of this machine."""
    from tests.cluster.real.machine import Machine, why_not

    if why_not():
        pytest.skip(why_not())
    return Machine.found()


@pytest.fixture(scope="session")
def release(machine: Machine, api: Api) -> Iterator[Release]:
    """The operator, installed by Helm as two pods."""
    from tests.cluster.real.release import installed

    with installed(machine, api) as found:
        yield found


@pytest.fixture
def site(release: Release, tmp_path: Path) -> Iterator[Site]:
    """A fresh namespace of the `restricted` level with a claim `results` that nodes share."""
    from tests.cluster.real.site import site

    with site(release.api, tmp_path) as found:
        yield found


@pytest.fixture
def seen(machine: Machine, site: Site, release: Release) -> Iterator[Witness]:
    """What happens to the pods of `site`; told if the test fails."""
    from tests.cluster.real.witness import Witness

    with closing(Witness(machine.access, site.namespace)) as witness:
        yield witness
    print(witness.diary(), release.logs(), sep="\n")


@pytest.fixture(scope="session")
def long_alone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """sha256 of the weights that `lmjob run` makes of the long example on this machine."""
    from tests.cluster.real.alone import weights_alone
    from tests.cluster.real.example import long_example

    return weights_alone(long_example(), tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="session")
def recoveries(pytestconfig: pytest.Config) -> Iterator[list[Recovery]]:
    """How long jobs took to recover from faults: shown at the end, and kept in a file."""
    from tests.cluster.real.recovery import write

    found = pytestconfig.stash.setdefault(RECOVERIES, [])
    yield found
    write(found)


SCENES = pytest.StashKey[Any]()
RECOVERIES = pytest.StashKey[Any]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The table of recovery times."""
    found = config.stash.get(RECOVERIES, [])
    if found:
        from tests.cluster.real.recovery import table

        terminalreporter.section("recovery from faults in real pods")
        terminalreporter.write_line("\n".join(table(found)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Adds what operators said to the report of a failed test."""
    report = yield
    if report.failed and call.when == "call":
        for opened in item.stash.get(SCENES, []):
            report.sections.append((f"operator of {opened.namespace}", opened.story()))
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a cluster."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.cluster)
