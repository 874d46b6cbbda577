"""Answers by the nearest training samples: a head on features that keeps samples instead of weights.

Owns the module behind `train.head=knn` and `train.neighbours`: which samples vote, by how much, and what they
say of each kind of target. Does not own making it of a training part (`train/solved_heads.py`,
`train/neighbours.py`).

The similarity of two images is the cosine of their standardised features. The k most similar training samples
vote with weights exp(similarity / temperature), times their own weight. One hundredth of the vote belongs to
the mean of the training part: no class is impossible, and what no neighbour says is ranked by frequency.

Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination,
https://arxiv.org/abs/1805.01978, section 3.4, for the weighted vote.

Legend: B rows, T training samples, D features, C classes or columns, k neighbours.
"""

import torch
from torch import nn
from torch.nn import functional

from pipeline.core.targets import LABELS, VALUES, Target
from pipeline.nets.weights import State

# The share of the vote that the mean of the training part has.
PRIOR_SHARE = 0.01
_LEAST_P = 1e-12
# How a column's vote becomes a logit: its logarithm, its log odds, or as it is.
_LOG, _ODDS, _PLAIN = 0, 1, 2


class NearestHead(nn.Module):
    """The vote of the nearest samples, as logits; everything that it knows is in its state.

    Args:
        state: made by `state_of`.
    """

    mean_JD: torch.Tensor
    std_JD: torch.Tensor
    rows_TD: torch.Tensor
    weight_T: torch.Tensor
    known_C: torch.Tensor
    form_C: torch.Tensor
    k_temperature: torch.Tensor

    def __init__(self, state: State) -> None:
        super().__init__()
        for name, value in state.items():
            self.register_buffer(name, value)
        self.n_beside = int(state["beside_J"][0]) if "beside_J" in state else 0
        self.k, self.temperature = int(state["k_temperature"][0]), float(state["k_temperature"][1])
        self.share = float(state["share_1"][0]) if "share_1" in state else 1.0

    def forward(self, x_JBD: torch.Tensor) -> torch.Tensor:
        """(1, B, C) logits of the features of one head, J = 1."""
        near_BD = directions((x_JBD[0] - self.mean_JD) / self.std_JD, self.n_beside)
        # Kept with half of the bytes; similarities are computed in float32.
        similar_BK, at_BK = (near_BD @ self.rows_TD.float().T).topk(min(self.k, len(self.rows_TD)), dim=1)
        # The largest is 0, so that nothing overflows at small temperatures.
        vote_BK = ((similar_BK - similar_BK[:, :1]) / self.temperature).exp() * self.weight_T[at_BK]
        vote_BK = vote_BK / vote_BK.sum(1, keepdim=True).clamp_min(_LEAST_P)
        return self._logits(self._said(vote_BK, at_BK))[None]

    def beside(self, logits_BC: torch.Tensor, h_BD: torch.Tensor) -> torch.Tensor:
        """(B, C) logits of a network and of its neighbours together, from its own logits and features."""
        near_BC = self(h_BD.float()[None])[0].softmax(-1)
        p_BC = (1 - self.share) * logits_BC.float().softmax(-1) + self.share * near_BC
        logits: torch.Tensor = p_BC.clamp_min(_LEAST_P).log()
        return logits

    def _said(self, vote_BK: torch.Tensor, at_BK: torch.Tensor) -> torch.Tensor:
        """(B, C) the mean of what is true of the neighbours, and of the training part."""
        if "class_T" in self._buffers:
            empty_BC = vote_BK.new_zeros(vote_BK.shape[0], len(self.known_C))
            said_BC = empty_BC.scatter_add(1, self.get_buffer("class_T")[at_BK], vote_BK)
            return (1 - PRIOR_SHARE) * said_BC + PRIOR_SHARE * self.known_C
        truth_TC = self.get_buffer("truth_TC")
        vote_BT = vote_BK.new_zeros(vote_BK.shape[0], len(truth_TC)).scatter_add(1, at_BK, vote_BK)
        share_BC = vote_BT @ (~truth_TC.isnan()).to(vote_BT.dtype)  # of the vote that knows the column
        said_BC = vote_BT @ truth_TC.nan_to_num()
        return (said_BC + PRIOR_SHARE * self.known_C) / (share_BC + PRIOR_SHARE)

    def _logits(self, said_BC: torch.Tensor) -> torch.Tensor:
        low_BC = said_BC.clamp_min(_LEAST_P).log()
        odds_BC = low_BC - (1 - said_BC).clamp_min(_LEAST_P).log()
        logits_BC = torch.where(self.form_C == _ODDS, odds_BC, low_BC)
        return torch.where(self.form_C == _PLAIN, said_BC, logits_BC)


def directions(z_BD: torch.Tensor, n_beside: int) -> torch.Tensor:
    """Standardised features of length 1; missing metadata, the last `n_beside`, are at their mean."""
    if n_beside:
        beside_BE = z_BD[:, -n_beside:].nan_to_num(nan=0.0)
        z_BD = torch.cat([z_BD[:, :-n_beside], beside_BE], dim=1)
    return functional.normalize(z_BD, dim=1)


def state_of(
    z_TD: torch.Tensor,
    target_TC: torch.Tensor,
    weight_T: torch.Tensor,
    statistics: tuple[torch.Tensor, torch.Tensor],
    target: Target,
    form: tuple[int, float, int],
) -> State:
    """The state of a `NearestHead`.

    Args:
        z_TD: standardised features of the training samples.
        target_TC: what is true of them; NaN is unknown.
        weight_T: ≥ 0; a sample of weight 0 is left out.
        statistics: (D,) mean and deviation that features are standardised by.
        target: what the columns mean.
        form: k, temperature, and how many of the last features are metadata.
    """
    k, temperature, n_beside = form
    kept_T = weight_T > 0
    truth_TC, weight_T = target_TC[kept_T], weight_T[kept_T]
    form_C = torch.full((target.n_columns,), _LOG)
    if target.kind == VALUES:
        form_C[:] = _PLAIN
    if target.kind == LABELS:
        form_C[:] = _ODDS
        for block in target.blocks:
            form_C[block] = _LOG
    state = {
        "mean_JD": statistics[0][None],
        "std_JD": statistics[1][None],
        "rows_TD": directions(z_TD[kept_T], n_beside).half(),
        "weight_T": weight_T,
        "known_C": _means(truth_TC, weight_T),
        "form_C": form_C,
        "k_temperature": torch.tensor([k, temperature], dtype=torch.float64),
    }
    if n_beside:
        state["beside_J"] = torch.tensor([n_beside])
    hard_T = target.rows_sum_to_one and bool((truth_TC.amax(1) == 1).all())
    # With thousands of classes the targets would be larger than the features.
    return state | ({"class_T": truth_TC.argmax(1)} if hard_T else {"truth_TC": truth_TC})


def _means(truth_TC: torch.Tensor, weight_T: torch.Tensor) -> torch.Tensor:
    """(C,) the mean of each column where it is known; of an unknown one, one half."""
    known_C = weight_T @ (~truth_TC.isnan()).to(weight_T.dtype)
    mean_C = (weight_T @ truth_TC.nan_to_num()) / known_C.clamp_min(_LEAST_P)
    return torch.where(known_C > 0, mean_C, torch.full_like(mean_C, 0.5))
