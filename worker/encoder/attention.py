"""Attention over packed inputs: each token sees the tokens of its own input and no others.

On a GPU one kernel takes them all (`torch.nn.attention.varlen`). On a CPU each group of equal lengths is one call,
and since batches are ordered by length, the groups are few and nothing is padded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

if TYPE_CHECKING:
    from .layout import Group, Layout

PACKED: Final = "packed"
"""Name under which transformers' models find this attention."""


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scale: float,
    is_causal: bool = False,
    window: int | None = None,
) -> torch.Tensor:
    """Attend within each input.

    Args:
        query: Shape `(tokens, heads, head_dim)`.
        key: The same, perhaps with fewer heads.
        value: Like `key`.
        layout: Where each input lies.
        scale: Of the scores.
        is_causal: Whether a token sees none behind it.
        window: A token sees those less than so many places away; None: all.

    Returns:
        Shape `(tokens, heads, head_dim)`.
    """
    gqa = key.shape[1] != query.shape[1]
    if query.device.type == "cuda":
        from torch.nn.attention.varlen import varlen_attn

        reach = -1 if window is None else window - 1
        sides = (reach, 0 if is_causal else reach)
        ends, longest = layout.ends, layout.longest
        attended = varlen_attn(
            query, key, value, ends, ends, longest, longest, scale=scale, window_size=sides, enable_gqa=gqa
        )
        return cast("torch.Tensor", attended)
    parts = []
    for group in layout.groups:
        mask = None
        if window is not None and window < group.length:
            mask = _band(group.length, window, is_causal, query.device)
        part = scaled_dot_product_attention(
            _rows(query, group),
            _rows(key, group),
            _rows(value, group),
            attn_mask=mask,
            is_causal=is_causal and mask is None,
            scale=scale,
            enable_gqa=gqa,
        )
        parts.append(part.transpose(1, 2).flatten(0, 1))
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _rows(tensor: torch.Tensor, group: Group) -> torch.Tensor:
    """The group's part of `(tokens, heads, head_dim)` as `(rows, heads, length, head_dim)`."""
    part = tensor[group.start : group.start + group.rows * group.length]
    return part.view(group.rows, group.length, *part.shape[1:]).transpose(1, 2)


def _band(length: int, window: int, is_causal: bool, device: torch.device) -> torch.Tensor:
    places = torch.arange(length, device=device)
    distance = places.unsqueeze(1) - places
    return (distance.abs() < window) & (distance >= 0) if is_causal else distance.abs() < window


def _for_transformers(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,  # noqa: ARG001 - none is made for an attention that registers no mask
    *,
    scaling: float | None = None,
    layout: Layout,
    sliding_window: int | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """`attend` as transformers' models call it: tensors of shape `(1, heads, tokens, head_dim)`.

    Source: the attention interface of transformers, `transformers/integrations/sdpa_attention.py`.
    """
    attended = attend(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        layout,
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        is_causal=getattr(module, "is_causal", False) if is_causal is None else is_causal,
        window=sliding_window,
    )
    return attended.unsqueeze(0), None


AttentionInterface.register(PACKED, _for_transformers)
