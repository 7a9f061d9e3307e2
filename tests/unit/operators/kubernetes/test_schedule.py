"""The queue of keys: nothing twice, nothing lost, errors back off."""

from __future__ import annotations

from operators.mimo_pipeline.kubernetes.schedule import Schedule


def test_a_key_that_was_added_twice_is_taken_once() -> None:
    queue = Schedule[str]()
    queue.add("a", 0)
    queue.add("a", 0)
    assert (queue.take(0), queue.take(0)) == ("a", None)


def test_a_key_is_never_in_two_hands() -> None:
    queue = Schedule[str]()
    queue.add("a", 0)
    assert queue.take(0) == "a"
    queue.add("a", 0)
    assert queue.take(0) is None
    queue.done("a", 1)
    # The event that came meanwhile is not lost.
    assert queue.take(1) == "a"


def test_a_later_look_waits_for_its_time_and_an_event_comes_before_it() -> None:
    queue = Schedule[str]()
    queue.add("a", 0)
    queue.take(0)
    queue.done("a", 0, again_in_s=10)
    assert queue.next_due_s() == 10
    assert queue.take(9) is None
    queue.add("a", 3)
    assert queue.take(3) == "a"


def test_the_key_that_is_due_for_longest_goes_first() -> None:
    queue = Schedule[str]()
    for key, at_s in (("late", 5), ("first", 1), ("second", 2)):
        queue.add(key, at_s)
    assert [queue.take(9) for _ in range(4)] == ["first", "second", "late", None]


def test_errors_back_off_up_to_a_minute_and_success_resets_them() -> None:
    queue = Schedule[str]()
    delays = []
    for _ in range(8):
        queue.add("a", 0)
        queue.take(1000)
        delays.append(queue.failed("a", 1000))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
    queue.take(2000)
    queue.done("a", 2000)
    queue.add("a", 2000)
    queue.take(2000)
    assert queue.failed("a", 2000) == 1


def test_the_next_due_time_ignores_what_is_being_worked_on() -> None:
    queue = Schedule[str]()
    queue.add("a", 0)
    queue.add("b", 7)
    queue.take(0)
    queue.add("a", 0)
    assert queue.next_due_s() == 7
