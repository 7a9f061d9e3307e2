"""How does a packed row of many samples go through the model, so that no sample sees another?

One call of the vision tower for all media of the row in order of appearance, features scattered to their placeholders
after a count check, then the language model with per-sample mRoPE positions and segment boundaries. A row without media
feeds one dummy image whose features are multiplied by zero: every rank calls the tower equally often, so sharded
training cannot deadlock, and every vision parameter has a (zero) gradient.
"""

# Shapes: T tokens of the row, S segments, N supervised tokens, M merged visual tokens, P patches, C values per patch
from __future__ import annotations

from dataclasses import dataclass

import torch

from mimo_vl.model.attention import TEXT_ATTENTION
from mimo_vl.model.layers import LastLayer
from mimo_vl.model.segments import Continuation
from mimo_vl.model.upstream import Qwen2_5_VLForConditionalGeneration
from mimo_vl.model.vision_layout import Grid, vision_layout
from mimo_vl.processing.packed_row import PackedRow


@dataclass(frozen=True, kw_only=True)
class RowTensors:
    """A packed row on a device.

    cu_seqlens_S1: int32 boundaries; boundaries: the same numbers on the host.
    visual_index_M: positions of visual placeholders. grids: (time, height, width) in patches, per medium.
    predict_index_N: positions that predict a supervised token; targets_N: those tokens; segment_N: their segment.
    prefixes: see PackedRow.prefix_S.
    """

    input_ids_T: torch.Tensor
    positions_3T: torch.Tensor
    cu_seqlens_S1: torch.Tensor
    boundaries: tuple[int, ...]
    visual_index_M: torch.Tensor
    patches_PC: torch.Tensor
    grids: tuple[Grid, ...]
    predict_index_N: torch.Tensor
    targets_N: torch.Tensor
    segment_N: torch.Tensor
    prefixes: tuple[int, ...] = ()

    @property
    def num_segments(self) -> int:
        return len(self.boundaries) - 1

    @property
    def last_index_S(self) -> torch.Tensor:
        """Position of the last token of each sample: of each segment that no other continues."""
        last_S = self.cu_seqlens_S1[1:].long() - 1
        if not self.prefixes:
            return last_S
        shared = set(self.prefixes)
        return last_S[[i for i in range(self.num_segments) if i not in shared]]


def row_tensors(row: PackedRow, device: torch.device | str = "cpu") -> RowTensors:
    """Copy a row to `device`."""
    supervised_N = torch.from_numpy(row.supervised_T).nonzero().flatten()
    input_ids_T = torch.from_numpy(row.input_ids_T)
    cu_seqlens_S1 = torch.from_numpy(row.cu_seqlens_S1)
    segment_N = torch.searchsorted(cu_seqlens_S1, supervised_N, right=True) - 1
    return RowTensors(
        input_ids_T=input_ids_T.to(device),
        positions_3T=torch.from_numpy(row.positions_3T).to(device),
        cu_seqlens_S1=cu_seqlens_S1.to(device=device, dtype=torch.int32),
        boundaries=tuple(row.cu_seqlens_S1.tolist()),
        visual_index_M=torch.from_numpy(row.mm_types_T).nonzero().flatten().to(device),
        patches_PC=torch.from_numpy(row.patches_PC).to(device),
        grids=tuple((t, h, w) for t, h, w in row.grid_thw_N3.tolist()),
        predict_index_N=_predict_index(row, supervised_N, segment_N).to(device),
        targets_N=input_ids_T[supervised_N].to(device),
        segment_N=segment_N.to(device),
        prefixes=row.prefix_S,
    )


def _predict_index(row: PackedRow, supervised_N: torch.Tensor, segment_N: torch.Tensor) -> torch.Tensor:
    """The position before each supervised token: for the first of a segment, the last one of its prefix."""
    if not row.prefix_S:
        return supervised_N - 1
    cu_seqlens_S1 = torch.from_numpy(row.cu_seqlens_S1)
    prefix_N = torch.tensor(row.prefix_S)[segment_N]
    is_first_N = (supervised_N == cu_seqlens_S1[segment_N]) & (prefix_N >= 0)
    return torch.where(is_first_N, cu_seqlens_S1[prefix_N + 1] - 1, supervised_N - 1)


def packed_hidden_states(
    model: Qwen2_5_VLForConditionalGeneration, rows: RowTensors, at_N: torch.Tensor | None = None
) -> torch.Tensor:
    """Final hidden states (after the last norm) of a packed row: [N, D] at the positions `at_N`, [T, D] without it.

    Raises:
        ValueError: the model was not prepared, or placeholders and features differ in number.
    """
    language_model = model.model.language_model
    _require_prepared(language_model)
    embeds_TD = language_model.embed_tokens(rows.input_ids_T)
    if rows.grids:
        features_MD = visual_features(model, rows.patches_PC, rows.grids).to(embeds_TD.dtype)
        if len(features_MD) != len(rows.visual_index_M):
            raise ValueError(
                f"{len(rows.visual_index_M)} visual placeholders but {len(features_MD)} visual features in the row; "
                "each medium needs grid / merge_size**2 placeholder tokens"
            )
        embeds_TD = embeds_TD.index_copy(0, rows.visual_index_M, features_MD)
    elif len(rows.visual_index_M):
        raise ValueError(f"{len(rows.visual_index_M)} visual placeholders but no media in the row")
    else:
        embeds_TD = embeds_TD + _dummy_features(model).to(embeds_TD.dtype).sum() * 0.0
    output = language_model(
        inputs_embeds=embeds_TD[None],
        position_ids=rows.positions_3T[:, None],
        # The dictionary form says that the mask is final: none, since attention follows the boundaries.
        attention_mask={"full_attention": None},
        use_cache=False,
        cu_seq_lens_q=rows.cu_seqlens_S1,
        max_length_q=max(b - a for a, b in zip(rows.boundaries, rows.boundaries[1:], strict=False)),
        continuation=Continuation(rows.boundaries, rows.prefixes) if rows.prefixes else None,
        read_index=at_N,
    )
    h_ND: torch.Tensor = output.last_hidden_state[0]
    return h_ND


def _require_prepared(language_model: torch.nn.Module) -> None:
    attention, last = language_model.config._attn_implementation, language_model.layers[-1]  # type: ignore[union-attr,index]
    if attention != TEXT_ATTENTION or not isinstance(last, LastLayer):
        raise ValueError(
            f"attention implementation is {attention!r}, wanted 'varlen', and the last layer a {type(last).__name__}, "
            "wanted a LastLayer: samples of a packed row would attend to each other; load the model by load_model() or "
            "call prepare_model()"
        )


def visual_features(
    model: Qwen2_5_VLForConditionalGeneration, patches_PC: torch.Tensor, grids: tuple[Grid, ...]
) -> torch.Tensor:
    """Projected features [M, D] of all media, in order; images and videos may be mixed."""
    visual = model.model.visual
    layout = vision_layout(
        grids,
        merge_size=visual.spatial_merge_size,
        window_size=visual.window_size,
        patch_size=visual.patch_size,
    ).to(patches_PC.device)
    output = visual(
        patches_PC.to(visual.patch_embed.proj.weight.dtype),
        grid_thw=torch.tensor(grids, device=patches_PC.device),
        **layout.kwargs(),
    )
    features_MD: torch.Tensor = output.pooler_output
    return features_MD


def _dummy_features(model: Qwen2_5_VLForConditionalGeneration) -> torch.Tensor:
    """Features of the smallest image, all zero: 2 x 2 patches."""
    vision = model.model.visual.config
    merge = vision.spatial_merge_size
    values_per_patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    patches_PC = torch.zeros(merge * merge, values_per_patch, device=model.lm_head.weight.device)
    return visual_features(model, patches_PC, ((1, merge, merge),))
