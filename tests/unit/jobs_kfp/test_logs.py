"""The log of a stage reaches the step's log once, whatever happens to its pods meanwhile."""

from __future__ import annotations

from jobs.kfp_logs import LogCopy
from operators.mimo_pipeline.api import JobWorkload, PytorchWorkload
from tests.fakes.kfp_target import FakeKfpTarget, mine
from tests.fakes.pipelines import chain, running, succeeded, with_stage


class Log:
    def __init__(self, **workload: object) -> None:
        self.target = FakeKfpTarget(mine())
        self.target.pipeline = self.target.load().model_copy(update={"spec": with_stage(chain(), "b", **workload)})
        self.text = ""
        self.copier = LogCopy(self.target, "b", self._write)

    def grow(self, text: str, *, attempt: int = 1, name: str = "", at_end: bool = False) -> str:
        """What is added to the step's log."""
        self.target.texts = {("b", attempt): {name: text}}
        return self.read(attempt, at_end=at_end)

    def read(self, attempt: int = 1, *, at_end: bool = False) -> str:
        self.target.show(succeeded("a"), running("b", attempt))
        before = len(self.text)
        (self.copier.copy_rest if at_end else self.copier.copy)(self.target.load())
        return self.text[before:]

    def _write(self, text: str) -> None:
        self.text += text


def test_what_was_added_is_copied() -> None:
    log = Log(job=JobWorkload())
    assert log.grow("one\n") == "==> b, attempt 1 <==\none\n"
    assert log.grow("one\n") == ""
    assert log.grow("one\none\n") == "one\n"


def test_a_log_that_was_rotated_goes_on_after_its_last_line() -> None:
    log = Log()
    log.grow("1\n2\n3\n")
    # The beginning is gone, and the end is known.
    assert log.grow("2 3\n1\n2\n3\n4\n") == "4\n"


def test_a_log_of_which_nothing_is_left_is_copied_from_its_beginning() -> None:
    log = Log()
    log.grow("1\n2\n")
    assert log.grow("8\n9\n") == "8\n9\n"


def test_the_copy_in_the_store_goes_on_where_the_pod_ended() -> None:
    log = Log()
    log.grow("step 1\nstep 2\n", name="demo-b-1-master-0")
    assert log.grow("step 1\nstep 2\nsaved\n", name="node 0") == "saved\n"


def test_the_next_attempt_has_a_headline_and_the_rest_of_the_last_one_comes_first() -> None:
    log = Log()
    log.grow("one\n")
    log.target.texts = {("b", 1): {"": "one\nlast words\n"}, ("b", 2): {"": "one\n"}}
    assert log.read(2) == "last words\n==> b, attempt 2 <==\none\n"


def test_only_the_first_node_of_many_is_asked_for_its_log() -> None:
    log = Log(pytorch=PytorchWorkload(num_nodes=2))
    log.grow("x\n")
    assert log.target.asked_nodes == [0]
    other = Log(job=JobWorkload())
    other.grow("x\n")
    assert other.target.asked_nodes == [None]


def test_a_log_that_cannot_be_read_is_told_at_the_end_only() -> None:
    log = Log()
    assert log.read() == "==> b, attempt 1 <==\n"
    assert log.read() == ""
    assert log.read(at_end=True) == "no log of b: its pods are gone\n"


def test_a_stage_that_is_reused_or_has_not_started_has_no_log() -> None:
    log = Log()
    log.target.show(succeeded("a"), succeeded("b", reused=True))
    log.copier.copy_rest(log.target.load())
    log.target.show(succeeded("a"))
    log.copier.copy_rest(log.target.load())
    assert log.text == ""
    assert log.target.asked_nodes == []
