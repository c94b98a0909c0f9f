"""Exit codes carry the exit type, and cannot be mistaken for anything else's."""

import pytest

from lmtrainer.contract.exits import ExitType


def test_codes_are_unique_and_clear_of_shells_pythons_and_signals():
    codes = [member.code for member in ExitType]
    assert len(set(codes)) == len(codes)
    taken = {1, 2, *range(126, 166)}
    assert not taken & set(codes)
    assert all(0 <= code <= 125 for code in codes)


def test_only_success_is_0():
    assert [member for member in ExitType if member.code == 0] == [ExitType.SUCCEEDED]


@pytest.mark.parametrize("member", ExitType)
def test_a_code_gives_back_its_type(member):
    assert ExitType.from_code(member.code) is member


@pytest.mark.parametrize("code", [1, 2, 7, 126, 127, 128])
def test_an_unknown_code_is_a_failure(code):
    assert ExitType.from_code(code) is ExitType.FAILED


@pytest.mark.parametrize("code", [-9, -15, 137, 143])
def test_death_by_a_signal_is_one_in_both_spellings(code):
    assert ExitType.from_code(code) is ExitType.KILLED


def test_a_users_mistake_is_never_tried_again_and_everything_else_that_fails_may_be():
    final = {member for member in ExitType if not member.retryable}
    assert final == {ExitType.SUCCEEDED, ExitType.USER_ERROR}
