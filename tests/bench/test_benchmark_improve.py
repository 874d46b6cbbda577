"""benchmarks/improve: orders of advice are replayed as `make improve` takes them, and worlds are kept."""

import numpy as np
import pytest

from benchmarks import improve
from benchmarks.improve import Piece, World
from pipeline.settings import advice_table
from pipeline.settings.advice_table import Paid

N = 240
Y = np.arange(N) % 4


def predictions(skill, seed):
    """Rows that are right as often as `skill` says."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(N, 4))
    logits[np.arange(N), Y] += skill
    p_NC = np.exp(logits)
    return p_NC / p_NC.sum(axis=1, keepdims=True)


def piece(name, kind, skill, seed, seconds=60.0, own=0.1, gain=0.1):
    remedy = {"oversure": "loss.label_smoothing", "pair": "images.size"}.get(kind, "train.epochs")
    return Piece(name, kind, remedy, own, gain, seconds, seconds, predictions(skill, seed))


@pytest.fixture
def world():
    """Longer training helps a lot and takes as long as what does not help: the first run, less sure."""
    pieces = (
        piece("smoothing", "oversure", 0.6, 1, gain=0.2),
        piece("larger", "pair", 0.5, 1, gain=0.15),
        piece("longer", "epochs", 3.0, 4),
    )
    return World(
        "toy:plain", Y, (np.arange(N) // 2).astype(str), np.arange(N) // 2 % 3, predictions(0.7, 1), pieces
    )


def test_the_order_is_that_of_make_improve_and_follows_what_paid_elsewhere(world):
    assert improve.ordered(world, []) == ["smoothing", "larger", "longer"], "by the bounds alone"
    paid = [
        Paid("train.epochs", 6, 6, 0.3, "exclusive", N, "other"),
        Paid("loss.label_smoothing", 0, 6, 0.0, "exclusive", N, "other"),
    ]
    assert improve.ordered(world, paid) == ["longer", "larger", "smoothing"]


def test_a_piece_is_kept_where_it_helps_and_the_order_changes_how_soon(world):
    soon, late = (world.replayed(order) for order in (["longer", "larger"], ["larger", "longer"]))
    assert soon == [frozenset(), {"longer"}, {"longer"}] and late == [frozenset(), frozenset(), {"longer"}]
    assert world.score(soon[1]) > world.score(late[1]) + 0.1
    assert [(line.remedy, line.kept, line.tried) for line in world.table] == [
        ("images.size", 0, 1), ("loss.label_smoothing", 0, 1), ("train.epochs", 1, 1)
    ]  # fmt: skip


def test_ours_is_compared_with_random_orders_after_each_number_of_pieces(world):
    paid = [Paid("train.epochs", 6, 6, 0.3, "exclusive", N, "other")]
    made = improve.outcome(world, paid, orders=6)
    assert made.ours.shape == (4,) and made.theirs.shape == (6, 4)
    assert (made.ours[1] >= made.theirs[:, 1]).all() and made.better > 0 and made.worse == 0
    assert np.allclose(made.theirs[:, -1], made.ours[-1]), "the whole list is the same in every order"
    against = improve.outcome(world, [Paid("train.epochs", 0, 40, 0.0, "exclusive", N, "other")], orders=6)
    assert against.worse > 0, "a bad order is told to be worse"


def test_what_paid_on_a_set_does_not_order_the_advice_on_it(world):
    other = World(
        "digits:bare", *[getattr(world, n) for n in ("y_N", "group_N", "part_N", "first_NC", "pieces")]
    )
    assert improve.elsewhere([world, other], "toy") == other.table
    assert improve.elsewhere([world], "toy") == []


def test_worlds_are_kept_and_their_table_is_one_that_the_settings_read(world, tmp_path, capsys):
    improve.keep(world, tmp_path / "toy.npz")
    again = improve.read("toy:plain", tmp_path / "toy.npz")
    assert [p.name for p in again.pieces] == ["smoothing", "larger", "longer"]
    assert np.array_equal(again.pieces[2].p_NC, world.pieces[2].p_NC) and np.array_equal(again.y_N, Y)
    folder = tmp_path / "configs"
    improve.write_table([world, again], folder / "advice" / "mine.yaml")
    (folder / "config.yaml").write_text("defaults: {}\n", encoding="utf-8")
    lines = [line for line in advice_table.lines(folder) if "toy:plain" in line.origin]
    assert [(line.remedy, line.kept, line.tried) for line in lines] == [
        ("images.size", 0, 2), ("loss.label_smoothing", 0, 2), ("train.epochs", 2, 2)
    ]  # fmt: skip
    improve.report([world], orders=3)
    assert "ours minus random" in capsys.readouterr().out


@pytest.mark.slow
def test_a_tiny_world_carries_out_what_its_report_advises(tmp_path, capsys, monkeypatch):
    improve.main(["--out", str(tmp_path), "--tiny", "--orders", "2"])
    said = capsys.readouterr().out
    assert "digits:bare: 120 images" in said or "digits:bare" in said
    assert list(tmp_path.glob("digits-bare.npz"))
    monkeypatch.setattr(improve, "built", lambda *arguments: pytest.fail("the world was there already"))
    improve.main(["--out", str(tmp_path), "--tiny", "--orders", "2"])
