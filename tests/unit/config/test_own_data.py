"""data.custom and rewards.custom_verifier: what is refused, and which stages they are part of the key of."""

from __future__ import annotations

import pytest

from mimo_vl.config.compose import compose
from mimo_vl.config.pipeline import stage_config_digest
from mimo_vl.errors import ConfigError
from mimo_vl.vocabulary import RlFamily, StageName

_DIGEST, _OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
_DATA = f"data.custom.digest={_DIGEST}"
_VERIFIER = ("rewards.custom_verifier=rules.own:RULE", "rewards.custom_verifier_version=1")


def _changed(first: tuple[str, ...], second: tuple[str, ...]) -> set[StageName]:
    a, b = compose("tiny", first), compose("tiny", second)
    return {stage for stage in StageName if stage_config_digest(a, stage) != stage_config_digest(b, stage)}


def test_the_digest_is_part_of_the_keys_of_curate_and_of_what_trains_on_its_data() -> None:
    changed = _changed((_DATA,), (f"data.custom.digest={_OTHER}",))
    # The others have curate's output, or what was made of it, among their inputs.
    assert StageName.CURATE in changed
    assert StageName.LONG_CONTEXT_SFT in changed
    assert StageName.BASE not in changed


def test_the_place_of_the_data_is_part_of_no_key() -> None:
    assert _changed((_DATA,), (_DATA, "data.custom.uri=s3://bucket/data/x")) == set()


def test_the_version_of_the_verifier_is_part_of_the_keys_of_stages_that_score() -> None:
    path, version = _VERIFIER
    changed = _changed((path, version), (path, "rewards.custom_verifier_version=2"))
    assert changed == {StageName.CURATE_RL, StageName.MORL, StageName.EVALUATE}


def test_a_version_may_be_written_as_a_number() -> None:
    assert compose("tiny", _VERIFIER).rewards.custom_verifier_version == "1"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("data.custom.digest=abc",), r"data\.custom\.digest: got 'abc'"),
        ((_DATA, "data.custom.heldout_fraction=1.0"), r"data\.custom\.heldout_fraction: got 1\.0"),
        (("data.custom.uri=file:///x",), r"data\.custom\.digest: missing"),
        (
            ("rl.family_weights.custom=1", *_VERIFIER),
            r"rl\.family_weights\.custom is positive but data\.custom is null",
        ),
        (("rl.family_weights.custom=1", _DATA), r"positive but rewards\.custom_verifier is empty; name the Verifier"),
        (("stages.long-context-sft.mixture.custom=1",), r"stages\.long-context-sft\.mixture\.custom is positive but"),
        (("data.synthesis.samples_per_type.custom=1",), r"counts name custom.* give them by data\.custom"),
        (("rewards.custom_verifier=rules.own", _VERIFIER[1]), r"is 'rules\.own', wanted package\.module:NAME"),
        ((_VERIFIER[0],), r"custom_verifier_version ''; give both or neither"),
        ((_VERIFIER[1],), r"custom_verifier is '' and custom_verifier_version '1'; give both or neither"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compose("tiny", overrides)


def test_curated_data_of_an_input_may_hold_own_prompts() -> None:
    config = compose("mimo_vl_7b", ("rl.family_weights.custom=1", *_VERIFIER))
    assert config.data.custom is None


def test_curate_rl_depends_on_which_families_have_a_weight_not_on_how_much() -> None:
    assert StageName.CURATE_RL not in _changed((), ("rl.family_weights.counting=3",))
    assert StageName.CURATE_RL in _changed((), ("rl.family_weights.counting=0",))


def test_families_with_a_weight_are_those_of_rl() -> None:
    config = compose("tiny", ("rl.family_weights.grounding=0",))
    assert RlFamily.COUNTING in config.rl.families
    assert RlFamily.GROUNDING not in config.rl.families
