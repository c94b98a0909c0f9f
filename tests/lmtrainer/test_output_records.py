"""A stage is done when its record says so and everything the record names is still there."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from lmtrainer.config import RunConfig, config_hash
from lmtrainer.contract.reports import Completion, Position
from lmtrainer.durable import verify_manifest, write_manifest
from lmtrainer.faults import FencedError
from lmtrainer.output import claim, read_record, verified_record, write_record

MakeRun = Callable[..., RunConfig]

END = Position(phase_index=0, step=10, phase="main")


@pytest.fixture
def done(tmp_path: Path, run_config: MakeRun) -> tuple[Path, Completion]:
    """An output folder with a finished model and its record."""
    run = run_config()
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(bytes(100))
    record = Completion(
        stage="train",
        job_uid="job-a",
        attempt=1,
        config_hash=config_hash(run),
        position=END,
        target=END,
        manifest_sha256=write_manifest(tmp_path / "model"),
        output=str(tmp_path),
    )
    with claim(tmp_path, run, "job-a", 1) as mine:
        write_record(mine, record)
    return tmp_path, record


def verified(folder: Path, record: Completion) -> Completion | None:
    manifest = folder / "model" / "manifest.json"
    return verified_record(
        folder, "train", config_hash=record.config_hash, manifest=manifest, check=verify_manifest
    )


def test_a_finished_stage_is_recognised(done: tuple[Path, Completion]) -> None:
    folder, record = done
    assert read_record(folder, "train") == record
    assert verified(folder, record) == record


def damage_model(folder: Path) -> None:
    (folder / "model" / "model.safetensors").write_bytes(bytes(99) + b"x")


def rebuild_model(folder: Path) -> None:
    """Consistent in itself, but not what the record speaks of."""
    damage_model(folder)
    write_manifest(folder / "model")


def remove_model(folder: Path) -> None:
    for file in (folder / "model").iterdir():
        file.unlink()
    (folder / "model").rmdir()


def cut_record(folder: Path) -> None:
    record = folder / "records" / "train.json"
    record.write_text(record.read_text()[:-30])


def empty_record(folder: Path) -> None:
    (folder / "records" / "train.json").write_text("")


def record_of_another_stage(folder: Path) -> None:
    record = folder / "records" / "train.json"
    record.write_text(record.read_text().replace('"train"', '"prepare"'))


def linked_record(folder: Path) -> None:
    (folder / "records" / "train.json").rename(folder / "elsewhere")
    (folder / "records" / "train.json").symlink_to(folder / "elsewhere")


@pytest.mark.parametrize(
    "damage",
    [
        damage_model,
        rebuild_model,
        remove_model,
        cut_record,
        empty_record,
        record_of_another_stage,
        linked_record,
    ],
)
def test_a_stage_without_its_proof_is_done_again(
    done: tuple[Path, Completion], damage: Callable[[Path], None]
) -> None:
    folder, record = done
    damage(folder)
    assert verified(folder, record) is None


def test_the_record_of_another_configuration_proves_nothing(
    done: tuple[Path, Completion],
) -> None:
    folder, record = done
    assert verified(folder, dataclasses.replace(record, config_hash="d" * 64)) is None


def test_a_check_of_the_stages_own_decides_too(done: tuple[Path, Completion]) -> None:
    folder, record = done

    def too_few(place: Path) -> None:
        assert place == folder / "model"
        raise ValueError("another set of sentences")

    manifest = folder / "model" / "manifest.json"
    found = verified_record(
        folder, "train", config_hash=record.config_hash, manifest=manifest, check=too_few
    )
    assert found is None


@pytest.mark.parametrize(
    "change", [{"position": dataclasses.replace(END, step=9)}, {"manifest_sha256": ""}]
)
def test_what_proves_nothing_is_not_recorded(
    done: tuple[Path, Completion], run_config: MakeRun, change: dict[str, object]
) -> None:
    folder, record = done
    short = dataclasses.replace(record, **change)  # type: ignore[arg-type]
    with (
        claim(folder, run_config(), "job-a", 1) as mine,
        pytest.raises(ValueError, match="has not reached its target"),
    ):
        write_record(mine, short)
    assert read_record(folder, "train") == record


def test_an_attempt_that_is_fenced_off_records_nothing(
    done: tuple[Path, Completion], run_config: MakeRun
) -> None:
    folder, record = done
    with claim(folder, run_config(), "job-a", 1) as mine:
        (folder / "run.json").unlink()
        with pytest.raises(FencedError):
            write_record(mine, dataclasses.replace(record, attempt=7))
    assert read_record(folder, "train") == record


def test_a_stage_that_was_never_run_has_no_record(tmp_path: Path) -> None:
    assert read_record(tmp_path, "prepare") is None
