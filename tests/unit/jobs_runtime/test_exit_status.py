from __future__ import annotations

import pytest

from jobs.exit_status import summarise
from jobs.failures import Failure


@pytest.mark.parametrize(
    ("codes", "first_failed", "was_stopped", "expected"),
    [
        ([0, 0], [], False, 0),
        # A wrong input is wrong for every rank, whatever the others made of it.
        ([1, 2], [0, 1], False, 2),
        ([75, 2], [], True, 2),
        ([75, 0], [], False, 75),
        # The others saved because they were told to end: the crash is what counts.
        ([75, -9], [1], False, 1),
        ([-15, 2], [1], False, 2),
        ([1, 1], [0], False, 1),
        # SIGTERM came before the ranks could save, or while one waited for the other.
        ([-15, -15], [], True, 75),
        ([75, 1], [], True, 75),
        ([0, 0], [], True, 0),
    ],
)
def test_rank_codes_give_the_code_of_the_stage(
    codes: list[int], first_failed: list[int], was_stopped: bool, expected: int
) -> None:
    assert summarise(codes, {}, first_failed=first_failed, was_stopped=was_stopped).exit_code == expected


def test_a_kill_while_the_kernel_counted_a_memory_kill_is_out_of_memory() -> None:
    assert summarise([0, -9], {}, first_failed=[1], was_out_of_memory=True).reason == "OOMKilled"
    assert summarise([0, -9], {}, first_failed=[1]).reason == "Killed"
    # A segmentation fault has nothing to do with it.
    assert summarise([0, -11], {}, first_failed=[1], was_out_of_memory=True).reason == "Killed"


def test_the_message_is_that_of_the_rank_with_the_deciding_code() -> None:
    failures = {
        0: Failure(exit_code=1, reason="RuntimeError", message="connection closed by peer", is_expected=False),
        1: Failure(exit_code=2, reason="NonFiniteLossError", message="loss is NaN at step 7", is_expected=True),
    }
    record = summarise([1, 2], failures, first_failed=[0, 1])
    assert (record.exit_code, record.reason, record.message) == (2, "NonFiniteLossError", "loss is NaN at step 7")


def test_a_rank_without_a_word_is_named() -> None:
    assert summarise([0, 3], {}, first_failed=[1]).message == (
        "rank 1 ended with exit code 3 and no message; see the stage's log"
    )


def test_ranks_of_a_later_node_have_the_numbers_that_they_have_among_all() -> None:
    record = summarise([0, -6], {}, first_rank=8)
    assert record.rank_exit_codes == {"8": 0, "9": -6}
    assert record.message == "rank 9 was ended by SIGABRT"
