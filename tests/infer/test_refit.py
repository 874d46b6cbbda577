"""`make refit`: all data, the twin's score and epochs, never a score of its own."""

import json

import pytest
from main_world import READ_BY_EDA, SMALL, artifacts, equal, ledger, run

from pipeline.train.all_data import epochs_of, without_held_out
from pipeline.train.committee import Committee

pytestmark = pytest.mark.slow

WORDS = ("experiment=tiny_resnet", "train.epochs=2")
TWO = tuple(word for word in SMALL if "epochs" not in word)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    made = tmp_path_factory.mktemp("refit")
    said = run(made, "refit", *WORDS, small=TWO)
    assert said.code == 0, said.err
    return made, said


def test_it_learns_every_image_and_says_whose_score_stands_for_it(home):
    made, said = home
    (refit,), (twin,) = artifacts(made, "refit"), artifacts(made, "infer")
    (whole,) = artifacts(made, "whole")
    score = twin.metrics["oof_macro_f1"]
    told = (
        f"no out-of-fold score of its own; the cross-validation score is {score:.4f} (infer {twin.key[:8]})"
    )
    assert told in said.out and refit.manifest["tags"]["score"] == told
    assert not [name for name in refit.metrics if name.startswith("oof_")]
    assert whole.metrics["images"] == 150 and "valid_loss" not in whole.metrics
    history = json.loads((whole.folder / "history.json").read_text())
    assert len(history) == 2 and "valid_score" not in history[0]
    (row,) = ledger(made).values()
    assert row["kind"] == "refit" and row["oof"] == "" and row["note"] == told and "-refit-" in row["name"]
    inherited = json.loads((refit.folder / "inherited.json").read_text())
    assert inherited["epochs"] == 2 and inherited["infer_twin"] == f"infer/{twin.key}"


def test_no_score_of_learned_images_becomes_a_curve():
    told = []
    on_epoch = without_held_out(lambda fold, epoch, entry: bool(told.append(entry)) or True)
    assert on_epoch(
        2, 0, {"epoch": 0.0, "train_loss": 1.0, "valid_score": 0.9, "valid_loss": 0.1, "gap": 0.0}
    )
    assert told == [{"epoch": 0.0, "train_loss": 1.0}]


def test_its_weights_are_those_of_no_fold(home):
    made, _ = home
    own = Committee.read(artifacts(made, "whole")[0].folder).states[0]
    assert not any(equal(own, Committee.read(f.folder).states[0]) for f in artifacts(made, "fold"))


def test_scored_by_its_twin_and_reused(home):
    made, _ = home
    said = run(made, "score", *WORDS, small=TWO)
    assert said.code == 0 and "no out-of-fold score of its own" in said.out and "public 0." in said.out
    again = run(made, "refit", *WORDS, small=TWO)
    assert again.code == 0 and "reused" in again.out and "whole" not in again.out


def test_an_ensemble_takes_its_refit_with_the_weight_of_its_folds(home):
    made, _ = home
    words = ("ensemble.members=[tiny_resnet]", "train.epochs=2")
    plain = run(made, "ensemble", *words, small=TWO)
    refitted = run(made, "ensemble", *words, "ensemble.refit=true", small=TWO)
    assert plain.code == refitted.code == 0, refitted.err
    with_folds, with_refit = sorted(
        artifacts(made, "ensemble"), key=lambda a: bool(a.manifest["config"]["ensemble"]["refit"])
    )
    assert with_folds.json("blend.json")["weights"] == with_refit.json("blend.json")["weights"]
    assert (with_folds.folder / "oof.npz").read_bytes() == (with_refit.folder / "oof.npz").read_bytes()
    (refit,) = artifacts(made, "refit")
    assert with_refit.json("blend.json")["refits"] == {"tiny_resnet": f"refit/{refit.key}"}
    assert (with_folds.folder / "test.npz").read_bytes() != (with_refit.folder / "test.npz").read_bytes()


def test_what_cannot_be_inherited_is_refused_before_training(tmp_path):
    said = run(tmp_path, "refit", *WORDS[:1], "train.folds=[0]", "train.group_share=0.5")
    assert said.code == 2 and "train.folds=[0]" in said.err and "train.group_share" in said.err
    assert not artifacts(tmp_path, "fold")
    said = run(tmp_path, "ensemble", "ensemble.members=[auto]", "ensemble.refit=true")
    assert said.code == 2 and "ensemble.refit" in said.err


def test_epochs_are_those_that_made_the_weights():
    plain = [{"epoch": float(e)} for e in range(4)]
    assert epochs_of(plain) == [4]
    stopped = [{**entry, "chosen": float(entry["epoch"] == 1)} for entry in plain]
    assert epochs_of(stopped) == [2]
    several = [{**entry, "member": float(m)} for m in range(3) for entry in plain[: m + 1]]
    assert epochs_of(several) == [1, 2, 3]


def test_the_error_report_compares_a_refit_by_the_predictions_of_its_twin(home):
    made, _ = home
    path = {row["kind"]: made / "submissions" / f"{name}.csv" for name, row in ledger(made).items()}
    sides = [f"--a={path['member']}", f"--b={path['refit']}"]
    said = run(made, "error-analysis", small=(*READ_BY_EDA, "statistics.draws=100"), options=sides)
    assert said.code == 0, said.err
    assert "Can't tell: a gain of +0.0000 macro F1" in said.out, said.out
