from __future__ import annotations

from mimo_vl.data.sources import load_sources
from mimo_vl.data.split import split_of_text, split_sources
from mimo_vl.vocabulary import Split


def _digests(part: object) -> set[str]:
    return {item.digest for kind in ("digits", "photographs", "paragraphs") for item in getattr(part, kind)}


def test_sources_are_all_there() -> None:
    sources = load_sources()
    assert len(sources.digits) == 1797
    assert len(sources.photographs) == 18
    assert len(sources.paragraphs) > 60
    # the first row of the data set is a zero with 13/16 ink at its top
    assert sources.digits[0].label == 0
    assert sources.digits[0].pixels[0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]


def test_train_and_heldout_share_no_digest() -> None:
    parts = split_sources(load_sources(), seed=0, heldout_fraction=0.25)
    train, heldout = _digests(parts[Split.TRAIN]), _digests(parts[Split.HELDOUT])
    assert train.isdisjoint(heldout)
    assert train | heldout == _digests(load_sources())
    assert len(parts[Split.HELDOUT].photographs) == 5  # ceil(18 / 4)


def test_the_split_is_a_pure_function_of_the_seed() -> None:
    first, again, other = (split_sources(load_sources(), seed=s, heldout_fraction=0.25) for s in (3, 3, 4))
    assert first == again
    assert _digests(first[Split.HELDOUT]) != _digests(other[Split.HELDOUT])


def test_problems_made_of_text_are_split_in_proportion() -> None:
    sides = [split_of_text(f"{a}+{b}", seed=0, heldout_fraction=0.25) for a in range(40) for b in range(40)]
    assert 0.22 < sum(s is Split.HELDOUT for s in sides) / len(sides) < 0.28
