"""Convert a sentence-transformers model to OpenVINO's format: token ids in, unit vectors out.

    python convert.py MODEL OUT.xml

Runs with torch and sentence-transformers of the caller's on the path: these are not installed beside OpenVINO.
"""

from __future__ import annotations

import sys

import openvino
import torch
from sentence_transformers import SentenceTransformer


class Sentence(torch.nn.Module):
    """The whole model as one graph."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.model = SentenceTransformer(source, device="cpu").eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Vectors, shape `(inputs, dim)`, of padded token ids and their mask."""
        features = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
        vectors: torch.Tensor = features["sentence_embedding"]
        return torch.nn.functional.normalize(vectors)


def main(source: str, target: str) -> None:
    """Convert and save with weights in float32."""
    # One row is padded: a mask of ones might be left out of the graph.
    ids = torch.tensor([[101, 2129, 2079, 102], [101, 2054, 102, 0]])
    example = {"input_ids": ids, "attention_mask": (ids != 0).long()}
    shapes = {name: ([-1, -1], openvino.Type.i64) for name in example}
    converted = openvino.convert_model(Sentence(source), example_input=example, input=shapes)
    openvino.save_model(converted, target, compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
