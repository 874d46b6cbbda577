"""Several models in one file, and no way to take one of them for the whole."""

import pytest
import torch

from pipeline.train.committee import FILE, Committee
from pipeline.train.state import load_checkpoint


def state(value):
    return {"linear.weight": torch.full((2, 3), float(value)), "linear.bias": torch.zeros(2)}


def test_one_model_keeps_the_plain_form_and_several_have_their_own(tmp_path):
    Committee((state(1),), (1.0,)).write(tmp_path)
    assert torch.equal(load_checkpoint(tmp_path / FILE)["weights"]["linear.weight"], torch.ones(2, 3))
    assert Committee.read(tmp_path).shares == (1.0,)
    Committee((state(1), state(2)), (0.25, 0.75)).write(tmp_path)
    assert "weights" not in load_checkpoint(tmp_path / FILE)
    found = Committee.read(tmp_path)
    assert found.shares == (0.25, 0.75) and torch.equal(
        found.states[1]["linear.weight"], torch.full((2, 3), 2.0)
    )
    assert found.megabytes == pytest.approx(2 * 8 * 4 / 1e6)


def test_shares_are_shares():
    with pytest.raises(AssertionError, match="sum to 1"):
        Committee((state(1), state(2)), (0.5, 0.6))
    with pytest.raises(AssertionError, match="a share for each"):
        Committee((state(1),), (0.5, 0.5))
