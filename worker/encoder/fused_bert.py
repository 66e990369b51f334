"""BERT's forward pass over packed inputs, written out: one product for query, key and value, no layers of Python.

For models whose weights lie as in BERT: BERT, RoBERTa, XLM-R, CamemBERT. A short text's pass through transformers'
own modules costs more Python than arithmetic; written out it took 4.0 ms where those took 6.6 (decision 14).
Source: Devlin et al. 2018, https://arxiv.org/abs/1810.04805, section 3; names as in transformers' `BertModel`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch.nn.functional import embedding, layer_norm

from .attention import attend
from .linear import linear_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .layout import Layout
    from .linear import Linear

_LIKE_BERT: Final = frozenset({"BertModel", "CamembertModel", "RobertaModel", "XLMRobertaModel"})


class _LayerNorm(NamedTuple):
    weight: torch.Tensor
    bias: torch.Tensor
    eps: float

    @classmethod
    def of(cls, module: torch.nn.LayerNorm) -> _LayerNorm:
        return cls(module.weight.detach(), module.bias.detach(), module.eps)

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        return layer_norm(states, self.weight.shape, self.weight, self.bias, self.eps)


class _Layer(NamedTuple):
    query_key_value: Linear
    attended: Linear
    attended_norm: _LayerNorm
    up: Linear
    """With its activation."""
    down: Linear
    norm: _LayerNorm


def is_like_bert(model: Any) -> bool:
    """Whether a transformers model computes what `FusedBert` does."""
    config = model.config
    return (
        type(model).__name__ in _LIKE_BERT
        and type(model).__module__.startswith("transformers.")
        and getattr(config, "position_embedding_type", "absolute") in (None, "absolute")
        and not config.is_decoder
    )


class FusedBert:
    """States of every token of packed inputs.

    Args:
        model: A model for which `is_like_bert` holds, in the dtype to compute in; its weights are shared, but for
            those of query, key and value, and for all that oneDNN has in its own order.
    """

    def __init__(self, model: Any) -> None:
        embeddings = model.embeddings
        self._words = embeddings.word_embeddings.weight.detach()
        # Every token is of the first kind: what a token type adds is the same everywhere.
        types = embeddings.token_type_embeddings.weight.detach()
        self._positions = embeddings.position_embeddings.weight.detach() + types[0]
        self._norm = _LayerNorm.of(embeddings.LayerNorm)
        self._heads: int = model.config.num_attention_heads
        self._layers = [_layer(layer, str(model.config.hidden_act)) for layer in model.encoder.layer]

    def __call__(self, ids: torch.Tensor, layout: Layout) -> torch.Tensor:
        """States of the last layer.

        Args:
            ids: Shape `(tokens,)`.
            layout: Where each input lies.

        Returns:
            Shape `(tokens, hidden)`.
        """
        states = self._norm(embedding(ids, self._words) + embedding(layout.positions, self._positions))
        for layer in self._layers:
            query, key, value = layer.query_key_value(states).view(len(states), 3, self._heads, -1).unbind(1)
            attended = attend(query, key, value, layout, scale=query.shape[-1] ** -0.5).flatten(1)
            states = layer.attended_norm(layer.attended(attended) + states)
            states = layer.norm(layer.down(layer.up(states)) + states)
        return states


def _layer(layer: Any, activation: str) -> _Layer:
    attention = layer.attention
    return _Layer(
        _joined(attention.self.query, attention.self.key, attention.self.value),
        _joined(attention.output.dense),
        _LayerNorm.of(attention.output.LayerNorm),
        _joined(
            layer.intermediate.dense, activation=layer.intermediate.intermediate_act_fn, activation_name=activation
        ),
        _joined(layer.output.dense),
        _LayerNorm.of(layer.output.LayerNorm),
    )


def _joined(
    *modules: torch.nn.Linear,
    activation: Callable[[torch.Tensor], torch.Tensor] | None = None,
    activation_name: str = "",
) -> Linear:
    """Several products of one input as one; a single one shares its weights."""
    weights, biases = [module.weight.detach() for module in modules], [module.bias.detach() for module in modules]
    if len(modules) == 1:
        return linear_of(weights[0], biases[0], activation, activation_name)
    return linear_of(torch.cat(weights), torch.cat(biases), activation, activation_name)
