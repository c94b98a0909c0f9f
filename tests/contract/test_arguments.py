"""The command line of a node: what `lmjob` writes is what `lmtrainer` reads."""

import pytest

from lmtrainer.cli import build_parser
from lmtrainer.contract.arguments import STAGES, launch_arguments


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("path", ["/run/config.json", "-a file with spaces.json", "./--stage"])
def test_planned_arguments_parse_in_the_trainer(stage, path):
    given = build_parser().parse_args(launch_arguments(stage, path))
    assert (given.command, given.stage, given.config) == ("launch", stage, path)


def test_a_stage_that_does_not_exist_is_refused(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(launch_arguments("deploy", "config.json"))
    assert "prepare" in capsys.readouterr().err
