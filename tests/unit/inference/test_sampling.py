"""Drawing one token: inverse CDF, nucleus, and random numbers by counter."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mimo_vl.inference.sampling import draw_tokens, sample_uniforms, sampling_logprobs
from mimo_vl.schema.rollout import SamplingParams

pytestmark = pytest.mark.timeout(120)


def _logp(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


@pytest.mark.parametrize(("u", "token"), [(0.0, 0), (0.19, 0), (0.21, 2), (0.69, 2), (0.71, 3), (0.999999999, 3)])
def test_inverse_cdf_picks_the_token_whose_interval_holds_the_uniform(u: float, token: int) -> None:
    # Intervals: 0 = [0, 0.2), 1 = empty, 2 = [0.2, 0.7), 3 = [0.7, 1), 4 = empty.
    ids = draw_tokens(_logp(0.2, 0.0, 0.5, 0.3, 0.0), torch.tensor([u]), is_greedy=False)
    assert ids.tolist() == [token]


def test_greedy_ignores_the_uniform() -> None:
    assert draw_tokens(_logp(0.2, 0.5, 0.3), torch.tensor([0.99]), is_greedy=True).tolist() == [1]


def test_nucleus_keeps_the_smallest_set_that_reaches_top_p_and_renormalises() -> None:
    # Sorted masses 0.5, 0.3, 0.2; top_p 0.7: the second is needed to reach it, the third is not.
    logp = sampling_logprobs(_logp(0.2, 0.5, 0.3), temperature=1.0, top_p=0.7)
    torch.testing.assert_close(logp.exp(), torch.tensor([[0.0, 0.625, 0.375]]))


def test_temperature_sharpens_before_the_nucleus_cut() -> None:
    # Squared and renormalised: 0.04, 0.25, 0.09 over 0.38.
    logp = sampling_logprobs(_logp(0.2, 0.5, 0.3), temperature=0.5, top_p=1.0)
    torch.testing.assert_close(logp.exp(), torch.tensor([[0.04, 0.25, 0.09]]) / 0.38)


def test_uniforms_depend_on_every_part_of_the_name_and_on_nothing_else() -> None:
    params = SamplingParams(seed=1, step=2, max_new_tokens=4)
    first = sample_uniforms(params, "a", 0)
    np.testing.assert_array_equal(first, sample_uniforms(params, "a", 0))
    # A longer answer continues the same sequence.
    np.testing.assert_array_equal(first, sample_uniforms(params.model_copy(update={"max_new_tokens": 9}), "a", 0)[:4])
    others = [
        sample_uniforms(params, "b", 0),
        sample_uniforms(params, "a", 1),
        sample_uniforms(params.model_copy(update={"seed": 2}), "a", 0),
        sample_uniforms(params.model_copy(update={"step": 3}), "a", 0),
    ]
    assert all((first != other).all() for other in others)


def test_drawn_frequencies_follow_the_distribution() -> None:
    uniforms = torch.from_numpy(sample_uniforms(SamplingParams(max_new_tokens=4000), "frequency", 0))
    ids = draw_tokens(_logp(0.1, 0.6, 0.3).expand(4000, 3), uniforms, is_greedy=False)
    share = torch.bincount(ids, minlength=3) / 4000
    # Three standard errors of a share near 0.5 at n = 4000 are 0.024.
    torch.testing.assert_close(share, torch.tensor([0.1, 0.6, 0.3]), atol=0.024, rtol=0)
