"""Which results stand below another in lists of runs."""

from pathlib import Path

from pipeline.engine import compared
from pipeline.record.store import Artifact


def made(stage: str, key: str, created: str = "1", inputs: dict | None = None, **metrics: float) -> Artifact:
    """A finished result."""
    manifest = {"inputs": inputs or {}, "metrics": metrics, "created": created, "seconds": 2.0}
    return Artifact(stage, key, Path(), manifest)


def test_a_training_stands_below_the_oldest_of_its_inferences() -> None:
    of = {"train": "train/t1", "data": "data/d"}
    later, first = made("infer", "i2", "2", of), made("infer", "i1", "1", of)
    runs = [later, made("train", "t1", "0"), first, made("train", "t2", "0"), made("ensemble", "e1", "3")]
    assert compared.all_below(runs) == {"train/t1": "infer/i1"}


def test_a_decision_that_kept_no_step_stands_below_what_it_is() -> None:
    kept, nothing = (made("decide", f"d{n}", inputs={"of": "ensemble/e1"}, adopted=float(n)) for n in (1, 0))
    assert compared.all_below([kept, nothing]) == {"decide/d0": "ensemble/e1"}


def test_an_inference_is_told_with_its_training() -> None:
    training = made("train", "t1")
    inference = made("infer", "i1", inputs={"train": "train/t1"})
    assert compared.of_one_run(inference, {"train": training}) == [training]
    assert compared.of_one_run(training, {"data": training}) == []
