"""Whatever is killed, the job ends with the very weights of a run that nothing happened to."""

import json
import os
import signal
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.local.jobs import EVERY, STEPS, kill
from tests.runs import metrics

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


def assert_as_undisturbed(job, undisturbed, watched):
    assert job.weights() == undisturbed.weights()
    assert job.steps() == STEPS, "each step stands in the metrics once"
    memory = job.state()["memory"]
    assert memory["outcome"] == "complete"
    assert memory["lostSteps"] <= EVERY
    assert all(len(attempts) <= 1 for attempts in watched.stop()), "two attempts were live at once"


@pytest.mark.parametrize("node", ["worker-1", "master-0"])
def test_row_085_a_node_killed_in_the_middle_costs_at_most_one_checkpoint_interval(
    job, undisturbed, attempts, node
):
    process = job.start()
    job.wait_for_step(STEPS // 2, process)
    kill(job.pid(node))
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text + job.logs()
    assert job.state()["memory"]["attempt"] == 2
    assert node in text
    assert_as_undisturbed(job, undisturbed, attempts)


def test_the_runner_killed_in_the_middle_goes_on_with_the_same_command(job, undisturbed, attempts):
    process = job.start()
    job.wait_for_step(STEPS // 3, process)
    uid = job.state()["plan"]["job"]["uid"]
    kill(process.pid)
    process.communicate(timeout=60)
    job.run()
    assert job.state()["plan"]["job"]["uid"] == uid, "the frozen plan goes on"
    assert_as_undisturbed(job, undisturbed, attempts)


def test_a_rank_killed_below_its_launcher_is_named(job, undisturbed, attempts):
    process = job.start()
    job.wait_for_step(STEPS // 2, process)
    launcher = job.pid("worker-0")
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    kill(int(children[0]))
    text, _ = process.communicate(timeout=240)
    assert process.returncode == 0, text + job.logs()
    fault = job.state()["memory"]["lastFault"]
    assert fault["reason"] == "RankKilled"
    assert fault["replica"] == "worker-0"
    assert_as_undisturbed(job, undisturbed, attempts)


def test_ctrl_c_saves_and_the_same_command_goes_on(job, undisturbed, attempts):
    process = job.start()
    job.wait_for_step(STEPS // 3, process)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "lmjob run" in text, "it says how to go on"
    stopped_at = job.steps()
    newest = sorted(path.name for path in (job.output / "checkpoints").iterdir())[-1]
    assert newest == f"0-main-step-{stopped_at:08d}", "nothing is lost"
    job.run()
    assert job.state()["memory"]["restarts"] == 0
    assert_as_undisturbed(job, undisturbed, attempts)


def test_row_092_a_sharded_run_goes_on_with_another_number_of_ranks(job, undisturbed):
    """Every process saves its part and reads the parts of others; the model is published whole."""
    job.spec["parallel"] = {"strategy": "fsdp"}
    job.spec["workers"] = {"replicas": 1}
    process = job.start()
    job.wait_for_step(STEPS // 3, process)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    parts = list((job.output / "checkpoints").glob("0-*/part-*-weights.safetensors"))
    assert {path.name[5:10] for path in parts} == {"00000", "00001"}
    job.spec["workers"] = {"replicas": 2}
    text = job.run()
    assert job.steps() == STEPS
    newest = sorted((job.output / "checkpoints").glob("0-*"))[-1]
    assert len(list(newest.glob("part-*-weights.safetensors"))) == 3
    ours, theirs = (load_file(j.output / "model/model.safetensors") for j in (job, undisturbed))
    assert set(ours) == set(theirs)
    losses = [metrics(j.output)[-1]["loss"] for j in (job, undisturbed)]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(job, undisturbed, attempts):
    process = job.start()
    job.wait_for_step(STEPS // 2 + 5, process)
    kill(process.pid)
    process.communicate(timeout=60)
    newest = sorted((job.output / "checkpoints").glob("0-*"))[-1]
    weights = newest / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    job.run()
    assert job.weights() == undisturbed.weights()
    assert [p.name for p in (job.output / "checkpoints").glob(".bad-*")]
    assert "set aside" in job.logs()


def test_a_full_disk_ends_clearly_and_keeps_the_older_checkpoint(job):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; run the tests as root to enable it")
    small = job.folder / "results"
    if os.system(f"mount -t tmpfs -o size=2600k none {small} 2>/dev/null") != 0:
        pytest.skip("this sandbox may not mount a tmpfs; allow mount(2) to enable it")
    try:
        job.spec["failurePolicy"] = {"maxRestarts": 0}
        job.spec["checkpoint"] = {"everySteps": 10, "keep": 50}
        text = job.run(code=74)
        assert "space" in text
        checkpoints = sorted((job.output / "checkpoints").glob("0-*"))
        assert checkpoints
        for checkpoint in checkpoints:
            manifest = json.loads((checkpoint / "manifest.json").read_text())
            for name, fact in manifest["files"].items():
                assert (checkpoint / name).stat().st_size == fact["size"]
        assert not list((job.output / "checkpoints").glob(".tmp*"))
    finally:
        os.system(f"umount -l {small}")
