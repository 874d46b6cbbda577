"""plan/costs: what a head on features is expected to take."""

from types import SimpleNamespace

import pytest

from pipeline.plan.costs import FORWARD, Scene
from pipeline.plan.recipes import Recipe
from pipeline.settings.load import load
from pipeline.train import head_penalty
from pipeline.train.studies.walltime import Work

WORK = Work(5, 2000, 500, 1000)


def expected(*words, work=WORK, competition="digits-values"):
    """Seconds of a head whose features are there already."""
    session = SimpleNamespace(graph=SimpleNamespace(found=lambda need: need))
    settings = load([f"competition={competition}", "experiment=probe_logistic", *words])
    cost = Scene(session, range(500), range(5), 100)._probe(settings, work, 0.01, 0.0)
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
    session = SimpleNamespace(graph=SimpleNamespace(found=lambda need: None))
    settings = load(["competition=emoji", "experiment=probe_logistic"])
    cost = Scene(session, range(500), range(5), 100)._probe(settings, WORK, 0.01, 0.0)
    one = Recipe("one", settings).at(views=["identity"])
    alone = Scene(session, range(500), range(5), 100)._probe(one, WORK, 0.01, 0.0)
    views = len(settings.config.infer.views)
    assert views > 1 and alone.view == pytest.approx(cost.view)
    assert cost.view == pytest.approx(FORWARD * 0.01 * (500 + 100)), "training and test images, once"
