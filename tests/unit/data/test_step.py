from __future__ import annotations

import pytest

from mimo_vl.data.filters.duplicates import new_duplicate_judge
from mimo_vl.data.filters.media import judge_media
from mimo_vl.data.step import KEEP, Tally, Verdict, chain, drop, filter_step
from tests.unit.data.builders import png, record


def test_a_verdict_that_drops_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        Verdict(False)


def test_every_dropped_record_is_counted_by_its_reason() -> None:
    short = filter_step(lambda r: KEEP if len(r.sample.id) > 1 else drop("too_short"))
    not_b = filter_step(lambda r: drop("starts_with_b") if r.sample.id.startswith("b") else KEEP)
    tally = Tally()
    kept = [r.sample.id for r in chain([record(n) for n in ("a", "bb", "cc", "d", "be")], [short, not_b], tally)]
    assert kept == ["cc"]
    assert tally.seen == 5
    assert tally.dropped == {"too_short": 2, "starts_with_b": 2}


def test_steps_are_lazy_so_that_a_full_shard_ends_the_work() -> None:
    tally = Tally()
    stream = chain((record(str(i)) for i in range(1000)), [filter_step(lambda _: KEEP)], tally)
    assert [next(stream).sample.id for _ in range(3)] == ["0", "1", "2"]
    assert tally.seen == 3


def test_a_corrupt_image_is_a_verdict_and_not_an_error() -> None:
    assert judge_media(record("s", png())) == KEEP
    assert judge_media(record("s", png()[:40])) == drop("corrupt_image")
    assert judge_media(record("s", b"")) == drop("corrupt_image")


def test_small_and_thin_images_are_dropped_with_their_reason() -> None:
    assert judge_media(record("s", png(27, 56), width=27, height=56)) == drop("too_small")
    assert judge_media(record("s", png(5700, 28), width=5700, height=28)) == drop("too_thin")


def test_the_same_words_and_media_are_a_duplicate_whatever_the_id() -> None:
    judge = new_duplicate_judge()
    assert judge(record("a", png(), text="x")) == KEEP
    assert judge(record("b", png(), text="x")) == drop("duplicate")
    assert judge(record("c", png(shade=9), text="x")) == KEEP
    assert judge(record("d", png(), text="y")) == KEEP
