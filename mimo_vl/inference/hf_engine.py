"""In-process engine: one packed prefill per batch of prompts (vision once), then G samples per prompt decoded together.

Shapes: N prompts, R running rows, T tokens of the packed prompts, D model width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch

from mimo_vl.errors import WeightVersionError
from mimo_vl.inference.engine import TextDecoder
from mimo_vl.inference.group_cache import ATTENTION_NAME, GroupCache, register_attention
from mimo_vl.inference.sampling import draw_tokens, sample_uniforms, sampling_logprobs
from mimo_vl.model.checkpoint import prepare_model
from mimo_vl.model.packed import RowTensors, row_tensors, visual_features
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.processing.packed_row import EncodedSample, pack_row
from mimo_vl.schema.rollout import Completion, SamplingParams

# Finished rows are computed along until they are a quarter of the batch: copying the cache costs about one step.
COMPACT_BELOW = 0.75


@dataclass
class _Row:
    """One sample that is being written."""

    prompt: int
    sample_index: int
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    is_finished: bool = False


class HfEngine:
    """Runs a transformers model where it lies. The caller must not train the model while `generate` runs."""

    def __init__(
        self,
        model: Qwen2_5_VLForConditionalGeneration,
        decoder: TextDecoder,
        *,
        stop_token_ids: Sequence[int],
        max_rows: int = 192,
        weight_version: int = 0,
    ) -> None:
        """`stop_token_ids` apply where the sampling parameters name none.

        `max_rows` bounds prompts * samples that are decoded together; it fixes the composition of batches.
        """
        register_attention()
        self._model = prepare_model(model).eval()
        self._decoder = decoder
        self._stop_token_ids = tuple(stop_token_ids)
        self._max_rows = max_rows
        self._weight_version = weight_version

    @property
    def weight_version(self) -> int:
        return self._weight_version

    def load_weights(self, state: Mapping[str, torch.Tensor], version: int) -> None:
        if version <= self._weight_version:
            raise WeightVersionError(
                f"weight_version {version} does not follow the loaded {self._weight_version}; push each version once"
            )
        self._model.load_state_dict(dict(state), strict=True)
        self._weight_version = version

    def generate(self, prompts: Sequence[EncodedSample], params: SamplingParams) -> list[list[Completion]]:
        size = max(1, self._max_rows // params.num_samples)
        groups: list[list[Completion]] = []
        with torch.inference_mode(), _attention(self._model):
            for start in range(0, len(prompts), size):
                groups.extend(self._generate_batch(prompts[start : start + size], params))
        return groups

    def _generate_batch(self, prompts: Sequence[EncodedSample], params: SamplingParams) -> list[list[Completion]]:
        group_size = params.num_samples
        rows = [_Row(prompt=p, sample_index=g) for p in range(len(prompts)) for g in range(group_size)]
        device = self._model.device
        uniforms_RT = np.stack([sample_uniforms(params, prompts[r.prompt].id, r.sample_index) for r in rows])
        stop_ids = frozenset(params.stop_token_ids or self._stop_token_ids)

        cache = GroupCache([p.num_tokens for p in prompts], params.max_new_tokens, len(self._layers))
        h_ND = self._prefill(row_tensors(pack_row(prompts), device), cache)
        cache.repeat_prompts(group_size)
        logits_RV = self._model.lm_head(h_ND).repeat_interleave(group_size, dim=0)
        next_R = np.repeat([int(p.positions_3T.max()) + 1 for p in prompts], group_size)
        running = list(range(len(rows)))
        for step in range(params.max_new_tokens):
            logp_RV = sampling_logprobs(logits_RV, params.temperature, params.top_p)
            uniforms_R = torch.from_numpy(uniforms_RT[running, step]).to(device)
            ids_R = draw_tokens(logp_RV, uniforms_R, is_greedy=params.temperature == 0.0)
            _record([rows[i] for i in running], ids_R, logp_RV, stop_ids)
            alive = [i for i, row in enumerate(running) if not rows[row].is_finished]
            if not alive or step == params.max_new_tokens - 1:
                break
            if len(alive) < COMPACT_BELOW * len(running):
                keep_R = torch.tensor(alive, device=device)
                cache.select_rows(keep_R)
                ids_R, running = ids_R[keep_R], [running[i] for i in alive]
            position_R = torch.from_numpy(next_R[running] + step).to(device)
            logits_RV = self._model.lm_head(self._decode_step(ids_R, position_R, cache))
        return [
            [self._completion(row, prompts[p].id, stop_ids) for row in rows[p * group_size : (p + 1) * group_size]]
            for p in range(len(prompts))
        ]

    @property
    def _layers(self) -> torch.nn.ModuleList:
        return self._model.model.language_model.layers

    def _prefill(self, row: RowTensors, cache: GroupCache) -> torch.Tensor:
        """h_ND: [N, D] hidden state at the last token of each prompt."""
        h_TD = self._model.get_input_embeddings()(row.input_ids_T)
        if row.grids:
            features_MD = visual_features(self._model, row.patches_PC, row.grids)
            h_TD = h_TD.index_copy(0, row.visual_index_M, features_MD.to(h_TD.dtype))
        out_1ND = self._model.model.language_model(
            inputs_embeds=h_TD[None],
            position_ids=row.positions_3T[:, None],
            attention_mask={"full_attention": None},
            past_key_values=cache,
            use_cache=True,
            cu_seq_lens_q=row.cu_seqlens_S1,
            max_length_q=max(b - a for a, b in pairwise(row.boundaries)),
            read_index=row.last_index_S,
        ).last_hidden_state
        return out_1ND[0]

    def _decode_step(self, ids_R: torch.Tensor, position_R: torch.Tensor, cache: GroupCache) -> torch.Tensor:
        """h_RD after one more token per row."""
        out_R1D = self._model.model.language_model(
            inputs_embeds=self._model.get_input_embeddings()(ids_R[:, None]),
            position_ids=position_R[None, :, None].expand(3, -1, 1),
            attention_mask={"full_attention": cache.decode_bias()},
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        cache.advance()
        return out_R1D[:, 0]

    def _completion(self, row: _Row, prompt_id: str, stop_ids: frozenset[int]) -> Completion:
        has_stop = row.token_ids[-1] in stop_ids
        return Completion(
            prompt_id=prompt_id,
            sample_index=row.sample_index,
            token_ids=tuple(row.token_ids),
            logprobs=tuple(row.logprobs),
            text=self._decoder.decode(row.token_ids[:-1] if has_stop else row.token_ids),
            finish_reason="stop" if has_stop else "length",
            weight_version=self._weight_version,
        )


def _record(rows: Sequence[_Row], ids_R: torch.Tensor, logp_RV: torch.Tensor, stop_ids: frozenset[int]) -> None:
    """Append each row's new token unless the row is already finished."""
    # One synchronisation per step: the stop condition needs the ids on the host.
    values = logp_RV.gather(1, ids_R[:, None])[:, 0].tolist()
    for row, token, value in zip(rows, ids_R.tolist(), values, strict=True):
        if not row.is_finished:
            row.token_ids.append(token)
            row.logprobs.append(value)
            row.is_finished = token in stop_ids


@contextmanager
def _attention(model: Qwen2_5_VLForConditionalGeneration) -> Iterator[None]:
    """Use the group cache's attention in the language model, and the one before it afterwards."""
    config = model.model.language_model.config
    before = config._attn_implementation
    config._attn_implementation = ATTENTION_NAME
    try:
        yield
    finally:
        config._attn_implementation = before
