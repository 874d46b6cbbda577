"""plan/costs: what a head on features is expected to take."""

import json
from types import SimpleNamespace

import pytest

from pipeline.core.samples import Attribute, LabelSpace
from pipeline.plan.costs import FORWARD, Scene
from pipeline.plan.recipes import Recipe
from pipeline.settings.load import load
from pipeline.train import head_penalty
from pipeline.train.studies.walltime import Work

WORK = Work(5, 2000, 500, 1000)


class Samples:
    """So many samples of so many classes."""

    def __init__(self, rows=500, classes=10):
        self.rows = rows
        self.space = LabelSpace.product([Attribute("class", tuple(map(str, range(classes))))])

    def __len__(self):
        return self.rows


def scene(found=lambda need: need, home=None, classes=10):
    """Training images whose features are there already, or not."""
    graph = SimpleNamespace(found=found, key=lambda need: str(sorted(need.params.items())))
    session = SimpleNamespace(graph=graph, home=home)
    return Scene(session, Samples(classes=classes), range(5), 100)


def expected(*words, work=WORK, competition="digits-values"):
    """Seconds of a head whose features are there already."""
    settings = load([f"competition={competition}", "experiment=probe_logistic", *words])
    cost = scene()._probe(settings, work, 0.01, 0.0)
    assert cost.view == 0, "nothing is computed again"
    return cost.fixed


def choosing(work=WORK):
    """Seconds that the choice of a penalty adds."""
    return expected("train.head_c=auto", work=work) - expected("train.head_c=0.03", work=work)


def test_a_penalty_that_is_chosen_takes_the_solutions_that_it_is_chosen_by():
    solved = expected("train.head_c=0.03") - expected("train.head_c=0.03", work=Work(5, 0, 0, 0))
    assert choosing() == pytest.approx(10 * solved), "five penalties, each on two of three parts, three times"
    some = Work(5, 5 * head_penalty.ENOUGH, 0, 0)
    assert choosing(Work(5, 200_000, 0, 0)) == pytest.approx(choosing(some)), "more samples choose no better"


def test_classes_have_one_penalty_and_no_choice_to_wait_for():
    assert expected("train.head_c=auto", competition="emoji") == expected(
        "train.head_c=0.03", competition="emoji"
    )


def test_a_head_with_fewer_views_costs_the_features_of_these_only():
    settings = load(["competition=emoji", "experiment=probe_logistic"])
    missing = scene(found=lambda need: None)
    cost = missing._probe(settings, WORK, 0.01, 0.0)
    one = Recipe("one", settings).at(views=["identity"])
    alone = missing._probe(one, WORK, 0.01, 0.0)
    views = len(settings.config.infer.views)
    assert views > 1 and alone.view == pytest.approx(cost.view)
    assert cost.view == pytest.approx(FORWARD * 0.01 * (500 + 100)), "training and test images, once"


def test_features_that_an_earlier_member_of_the_plan_computes_are_not_computed_again():
    settings = load(["competition=emoji", "experiment=probe_logistic"])
    cost = scene(found=lambda need: None)._probe(settings, WORK, 0.01, 0.0)
    assert cost.without(frozenset().union(*cost.passes)).view == 0
    assert cost.without(cost.passes[0]).view == pytest.approx(cost.view * (1 - 1 / len(cost.passes)))
    assert cost.without(frozenset()) == cost


def test_thousands_of_classes_cost_what_a_step_of_such_a_head_takes_on_this_machine(tmp_path):
    settings = load(["competition=emoji", "experiment=probe_arcface", "runtime.threads=1"])
    few, many = (
        scene(home=tmp_path, classes=classes)._probe(settings, WORK, 0.01, 0.0).fixed
        for classes in (10, 3000)
    )
    assert many > 10 * few
    (kept,) = json.loads((tmp_path / "machine.json").read_text(encoding="utf-8"))["entries"]
    assert kept["of"]["classes"] == 3000 and kept["measured"]["seconds"] > 0
    assert scene(home=tmp_path, classes=3000)._probe(settings, WORK, 0.01, 0.0).fixed == many, "timed once"
