"""Metadata beside the image features of a network: an embedding for each category, and an MLP over all of it.

Owns standardising metadata by a fold's training part, and what it adds to a network's outputs. Does not own
what the columns mean (`core/metadata.py`).

The last layer of the MLP and the network's own classifier add their outputs: together they are one linear
layer on image features and metadata features side by side. It starts at zero, so a network starts as it would
without metadata.

Legend: B samples, E columns of numbers, K outputs.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from pipeline.core.metadata import Floats, Table, spread
from pipeline.nets.weights import State

HIDDEN, MOST_EMBEDDED, DROPOUT = 32, 16, 0.1
NAME = "tabular"


class Tabular(nn.Module):
    """(B, K) outputs of (B, E) metadata, with NaN where a number is missing.

    Args:
        widths: columns of numbers of each column of metadata, and whether it is embedded, as a category is.
        n_outputs: K.
    """

    mean_E: torch.Tensor
    std_E: torch.Tensor
    widths_M: torch.Tensor

    def __init__(self, widths: list[tuple[int, bool]], n_outputs: int) -> None:
        super().__init__()
        total = sum(width for width, _ in widths)
        self.register_buffer("mean_E", torch.zeros(total))
        self.register_buffer("std_E", torch.ones(total))
        # In the state, so that a trained network can be restored without its competition: categories are < 0.
        self.register_buffer("widths_M", torch.tensor([-w if embedded else w for w, embedded in widths]))
        self.embeddings = nn.ModuleList()
        features = 0
        for width, embedded in widths:
            size = min(math.ceil(width / 2), MOST_EMBEDDED) if embedded else width
            self.embeddings.append(nn.Linear(width, size, bias=False) if embedded else nn.Identity())
            features += size
        last = nn.Linear(HIDDEN, n_outputs, bias=False)
        nn.init.zeros_(last.weight)
        self.mlp = nn.Sequential(nn.Linear(features, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), last)

    @staticmethod
    def of(table: Table, n_outputs: int) -> Tabular:
        """For the columns of a competition."""
        return Tabular([(column.width, column.kind == "category") for column in table.columns], n_outputs)

    @staticmethod
    def of_state(state: State, prefix: str) -> Tabular:
        """With the shapes of a trained one."""
        widths = [(abs(w), w < 0) for w in state[f"{prefix}widths_M"].tolist()]
        return Tabular(widths, len(state[f"{prefix}mlp.3.weight"]))

    def fit(self, x_NE: Floats) -> None:
        """Means and spreads of the training part of a fold."""
        for buffer, values in zip((self.mean_E, self.std_E), spread(x_NE), strict=True):
            buffer.copy_(torch.from_numpy(values))

    def filled(self, x_BE: torch.Tensor) -> torch.Tensor:
        """The metadata with the mean of the training part where it is missing, for mixing."""
        return torch.where(x_BE.isnan(), self.mean_E, x_BE)

    def forward(self, x_BE: torch.Tensor) -> torch.Tensor:
        """(B, K) what the metadata adds to the network's outputs."""
        filled_BE, varies_E = self.filled(x_BE), self.std_E.isfinite()
        # Values that the training part never had are as if they were not there.
        plain_BE = filled_BE * varies_E
        z_BE = (filled_BE - self.mean_E) / self.std_E
        parts, start = [], 0
        for width, embedding in zip(self.widths_M.abs().tolist(), self.embeddings, strict=True):
            end = start + width
            embeds = isinstance(embedding, nn.Linear)
            parts.append(embedding(plain_BE[:, start:end] if embeds else z_BE[:, start:end]))
            start = end
        outputs: torch.Tensor = self.mlp(torch.cat(parts, dim=1))
        return outputs
