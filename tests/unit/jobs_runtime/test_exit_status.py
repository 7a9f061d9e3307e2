from __future__ import annotations

import pytest

from jobs.exit_status import first_to_fail, summarise
from jobs.failures import Failure


def _failed(reason: str, message: str, *, exit_code: int = 1, at_s: float = 0.0) -> Failure:
    return Failure(exit_code=exit_code, reason=reason, message=message, is_expected=True, failed_at_s=at_s)


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
        0: _failed("RuntimeError", "connection closed by peer"),
        1: _failed("NonFiniteLossError", "loss is NaN at step 7", exit_code=2),
    }
    record = summarise([1, 2], failures, first_failed=[0, 1])
    assert (record.exit_code, record.reason, record.message) == (2, "NonFiniteLossError", "loss is NaN at step 7")


@pytest.mark.parametrize(
    ("ended", "failed_at_s", "expected"),
    [
        # Rank 0 failed; rank 1, which waited for it, raised later and was gone earlier.
        ([1], {0: 10.0, 1: 10.4}, [0]),
        # Rank 1 was aborted by its communication library: it left no word.
        ([1], {0: 10.0}, [0]),
        # Rank 1 was killed after 10.3, and rank 0 fails because of it.
        ([1], {0: 10.5}, [1]),
        ([1], {0: 10.5, 1: 10.4}, [1]),
        # Of those that ended together exit codes decide, then times.
        ([0, 1], {0: 10.0, 1: 9.0}, [0, 1]),
        ([0, 1], {0: 10.0, 1: 9.0, 2: 8.0, 3: 8.5}, [2]),
        # None ended on its own: all were told to.
        ([], {0: 10.0}, []),
        ([1], {}, [1]),
    ],
)
def test_the_rank_that_failed_first_need_not_be_the_first_to_end(
    ended: list[int], failed_at_s: dict[int, float], expected: list[int]
) -> None:
    failures = {rank: _failed("Error", "x", at_s=at_s) for rank, at_s in failed_at_s.items()}
    assert first_to_fail(ended, failures, all_well_at_s=10.3) == expected


@pytest.mark.parametrize(
    ("at_s", "message"), [((10.4, 10.0), "disk gone"), ((10.0, 10.4), "connection closed by peer")]
)
def test_of_two_ranks_that_ended_together_the_one_that_failed_earlier_is_told(
    at_s: tuple[float, float], message: str
) -> None:
    failures = {
        0: _failed("RuntimeError", "connection closed by peer", at_s=at_s[0]),
        1: _failed("OSError", "disk gone", at_s=at_s[1]),
    }
    assert summarise([1, 1], failures, first_failed=[0, 1]).message == message


def test_a_rank_without_a_word_is_named() -> None:
    assert summarise([0, 3], {}, first_failed=[1]).message == (
        "rank 1 ended with exit code 3 and no message; see the stage's log"
    )


def test_ranks_of_a_later_node_have_the_numbers_that_they_have_among_all() -> None:
    record = summarise([0, -6], {}, first_rank=8)
    assert record.rank_exit_codes == {"8": 0, "9": -6}
    assert record.message == "rank 9 was ended by SIGABRT"
