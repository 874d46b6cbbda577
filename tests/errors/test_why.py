import numpy as np
import pytest
from analyze_cases import HOSTILE, SPACE, case
from section_world import section_of
from suspects_world import spoilt
from test_explore import Tags

from pipeline.errors.findings.why import nearest, section

MADE = case()
WORLD = spoilt(40)


def facts(warning: str = "") -> dict:
    names = [("cam", "image"), ("cam", "gradcam-predicted"), ("cam", "gradcam-rival"), ("occlusion", "other")]
    return {
        "format": 1,
        "experiment": "<b>lite0</b>",
        "classes": list(SPACE.classes),
        "parts": {
            "attention": {
                "data": {
                    "from": ["border"],
                    "warning": warning,
                    "classes": [
                        {
                            "name": SPACE.classes[2],
                            "n_images": 5,
                            "n_groups": 4,
                            "background": 0.6,
                            "area": 0.4,
                            "excess": 0.2,
                            "low": 0.1,
                            "high": 0.3,
                            "verdict": "background",
                        }
                    ],
                }
            }
        },
        "cases": {
            f"train/{HOSTILE[0]}": {
                "id": HOSTILE[0],
                "split": "train",
                "true": 1,
                "predicted": 2,
                "p_predicted": 0.9,
                "p_true": 0.05,
                "pictures": [{"part": p, "name": n, "file": f"{p}/{n}.png"} for p, n in names],
                "notes": {"occlusion": "Hiding the square takes it from 90 % to 10 %.", "cam": "not shown"},
                "facts": {"cam": {"flat": ["gradcam-rival"]}},
            }
        },
    }


def picture(file: str) -> np.ndarray:
    return np.full((20, 20, 3), len(file), np.uint8)


def test_the_section_shows_the_maps_and_says_which_are_flat():
    shown = section_of(section(facts("Half of it."), picture, MADE.train, None, "make explain"), MADE)
    tags = Tags(shown).found
    images = [attrs for tag, attrs in tags if tag == "img"]
    assert len(images) == 3 and all((a["src"] or "").startswith("data:image/webp") for a in images)
    assert shown.count("flat, no finding") == 1 and "Hiding the square" in shown and "not shown" not in shown
    assert "&lt;b&gt;lite0" in shown and "Half of it." in shown and "+20.0" in shown
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    assert "Nearest images are left out" in shown


def test_of_several_images_of_a_sample_the_one_that_matters_most_is_shown():
    made = facts()
    (case,) = made["cases"].values()
    several = [case | {"image": n, "images": 3, "p_without": p} for n, p in ((1, 0.85), (2, 0.2), (3, 0.9))]
    made["cases"] = {f"train/7, image {n}": one | {"id": "7"} for n, one in enumerate(several, 1)}
    (card,) = section(made, picture, MADE.train, None, "").values["cards"]
    assert card.id == "7, image 2 of 3"


def test_nearest_images_are_the_nearest_without_itself():
    name = str(WORLD.train.ids_N[3])
    found = nearest(WORLD.features, WORLD.train, name)
    x = WORLD.features.x_NVD[:, 0]
    like = x @ x[3] / np.linalg.norm(x, axis=1) / np.linalg.norm(x[3])
    like[3] = -1
    assert [near.key[1] for near in found] == WORLD.train.ids_N[np.argsort(-like)[:4]].tolist()
    for near in found:
        at = int(np.flatnonzero(WORLD.train.ids_N == near.key[1])[0])
        assert near.same_group == (WORLD.train.groups_N[at] == WORLD.train.groups_N[3])
    assert nearest(WORLD.features, WORLD.train, "nobody") == ()


@pytest.mark.parametrize("change", [{"cases": {}}, {"parts": {}}])
def test_what_is_missing_is_left_out(change):
    shown = section_of(section(facts() | change, picture, MADE.train, None, "make explain"), MADE)
    assert "No error was explained" in shown if "cases" in change else "background?" not in shown


def test_few_groups_have_no_interval_and_many_have():
    few = facts()
    assert "too few groups" in section_of(section(few, picture, MADE.train, None, "make explain"), MADE)
    few["parts"]["attention"]["data"]["classes"][0]["n_groups"] = 8
    shown = section_of(section(few, picture, MADE.train, None, "make explain"), MADE)
    assert "too few groups" not in shown and "[+10.0, +30.0]" in shown


def test_an_answer_that_is_right_is_not_called_an_error():
    right = facts()
    (case,) = right["cases"].values()
    case |= {"true": 2, "rival": 0, "p_true": 0.9, "p_rival": 0.04}
    shown = section_of(section(right, picture, MADE.train, None, "make explain RUN='<b>lite0'"), MADE)
    assert "correct, second guess" in shown and ", truth " not in shown and "The worst errors" not in shown
    assert "Grad-CAM for the second guess" in shown and "make explain RUN=&#39;&lt;b&gt;lite0" in shown
