"""`make explain` as a command: which network, which images, which parts, and what is kept of it."""

import json
import re

import pytest
from main_world import SMALL, artifacts, run
from PIL import Image

PARTS = ("--what", "cam,occlusion,attention,gradients")
QUICK = ("explain.images=3", "explain.attention_images=8", "images.size=32", "explain.occlusion.window=0.3")
WORDS = tuple(w for w in SMALL if not w.startswith("images.size"))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home")
    said = run(folder, "explain", *QUICK, small=WORDS, options=("--run", "tiny_cnn", *PARTS))
    assert said.code == 0 and "explain.html" in said.out, said.err
    return folder


def explain(home, *options, words=QUICK):
    return run(home, "explain", *words, small=WORDS, options=options)


def test_the_gallery_holds_pictures_and_what_other_reports_read(home):
    (found,) = artifacts(home, "explain")
    facts = found.json("explain.json")
    assert facts["experiment"].startswith("tiny_cnn images.size=32 ") and facts["format"] == 1
    assert set(facts["parts"]) == {"cam", "occlusion", "attention", "gradients"} and len(facts["cases"]) == 3
    for key, case in facts["cases"].items():
        assert (
            key == f"train/{case['id']}"
            and case["true"] != case["predicted"]
            and case["rival"] == case["true"]
        )
        names = {(p["part"], p["name"]) for p in case["pictures"]}
        assert {
            ("cam", "gradcam-predicted"),
            ("cam", "gradcam-rival"),
            ("occlusion", "occlusion-predicted"),
        } < names
        for picture in case["pictures"]:
            with Image.open(found.folder / picture["file"]) as opened:
                assert opened.format == "PNG" and min(opened.size) >= 192
        assert set(case["facts"]) == {"cam", "occlusion", "gradients"}
        drop = case["facts"]["occlusion"]["drop"]["occlusion-predicted"]
        assert 0 <= drop["after"] <= 1 and len(drop["square"]) == 4
    page = (found.folder / "explain.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/webp') > 30 and "https:" not in page
    assert all(f'id="{name}"' in page for name in facts["parts"])


def test_each_training_image_is_explained_by_the_fold_that_never_saw_it(home):
    import numpy as np

    from pipeline.record import files

    facts = artifacts(home, "explain")[0].json("explain.json")
    plan = files.read_plan(artifacts(home, "folds")[0].folder / "plan.npz")
    for case in facts["cases"].values():
        assert case["id"] in plan.splits[case["fold"]].valid_ids
        assert not np.isin(case["id"], plan.splits[case["fold"]].train_ids)
    oof = files.read_probabilities(artifacts(home, "train")[0].folder / "oof.npz", "oof")
    for case in facts["cases"].values():
        p_C = oof.take([case["id"]]).p_NC[0]
        assert case["p_predicted"] == pytest.approx(float(p_C.max()), abs=0.02)


def test_the_same_request_is_reused_and_another_is_not(home):
    assert "reused" in explain(home, "--run", "tiny_cnn", *PARTS).out
    said = explain(home, "--what", "occlusion", "--id", _id(home, 0))
    # The best finished network was found by itself.
    assert re.search(r"tiny_cnn images\.size=32 .*, the best of 1 finished", said.out), said.err
    assert said.code == 0
    assert len(artifacts(home, "explain")) == 2


def test_named_images_of_both_tables_and_a_named_fold(home):
    test_id = _id(home, 0, "test")
    said = explain(home, "--what", "occlusion", "--id", f"train/{_id(home, 1)},test/{test_id}", "--fold", "1")
    assert said.code == 0, said.err
    newest = max(
        artifacts(home, "explain"), key=lambda a: a.manifest["created"] + str("fold" in a.manifest["config"])
    )
    case = newest.json("explain.json")["cases"][f"test/{test_id}"]
    assert case["fold"] == 1 and case["true"] is None and case["p_true"] is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--what", "cam,oclusion,x"), ("2 unknown", "did you mean", "occlusion", "attention")),
        (("--id", "nobody,neither"), ("2 of 2 ids", "nobody", "neither")),
        (("--id", "test/nobody"), ("1 of 1 ids",)),
        (("--fold", "7"), ("FOLD=7", "0, 1")),
        (("--run", "tiny_cn"), ("tiny_cn", "tiny_cnn")),
    ],
)
def test_mistakes_are_told_once_and_clearly(home, options, told):
    said = explain(home, *options)
    assert said.code == 2 and all(word in said.err for word in told), said.err
    assert "Traceback" not in said.err


def test_an_override_that_nothing_reads_is_refused(home):
    said = explain(home, words=(*QUICK, "infer.views=[identity]"))
    assert said.code == 2 and "infer.views" in said.err


@pytest.mark.slow
def test_a_probe_a_vision_transformer_and_images_larger_than_the_networks(home):
    large, small = "images.size=64", ("images.size=32", "images.store_px=64")
    for words in (
        ("experiment=probe", large),
        ("experiment=tiny_cnn", "model.name=vit_tiny_patch16_224", large),
        ("experiment=tiny_cnn", *small),
    ):
        size = ("images.cache_px=64",)
        said = run(home, "explain", "explain.images=1", *size, "explain.attention_images=0", *words,
                   small=WORDS, options=PARTS)  # fmt: skip
        assert said.code == 0, said.err


def _id(home, at, split="train"):
    from pipeline.record import files

    return str(files.read_samples(artifacts(home, "data")[0].folder / f"{split}.npz", home).ids_N[at])


def test_the_facts_are_plain_json(home):
    for found in artifacts(home, "explain"):
        json.loads((found.folder / "explain.json").read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_the_inside_of_a_network_is_shown_by_the_same_command(home):
    quick = (
        *QUICK, "explain.units.shown=1", "explain.units.patches=2", "explain.units.images=1",
        "explain.synthesis.steps=4", "explain.synthesis.classes=[3]", "explain.neighbours.k=2",
        "explain.embedding.perplexity=5", "explain.embedding.seeds=2",
    )  # fmt: skip
    inside = "activations,patches,filters,synthesis,neighbours,embedding"
    said = explain(home, "--run", "tiny_cnn", "--what", inside, words=quick)
    assert said.code == 0, said.err
    found = next(a for a in artifacts(home, "explain") if "embedding" in a.json("explain.json")["parts"])
    facts = found.json("explain.json")
    assert set(facts["parts"]) == set(inside.split(","))
    assert found.metrics["embedding_effective_rank"] >= 1 and found.metrics["embedding_trustworthiness"] > 0
    assert [p.name for p in sorted((found.folder / "pictures" / "synthesis").glob("*/*"))] == [
        "0-blank.png", "0-noise.png",
    ]  # fmt: skip
    worst = next(iter(facts["cases"].values()))
    assert len(worst["facts"]["neighbours"]["features"]) == 2
    page = (found.folder / "explain.html").read_text(encoding="utf-8")
    assert "mean nothing" in page.replace("\n", " ") and "https://" in page and 'src="http' not in page


def test_layers_and_classes_that_are_not_there_are_told(home):
    words = (*QUICK, "explain.units.layers=[layer9]")
    said = explain(home, "--run", "tiny_cnn", "--what", "patches", words=words)
    assert said.code == 2 and "`layer9`" in said.err and "Traceback" not in said.err
    words = (*QUICK, "explain.synthesis.classes=[eleven]")
    said = explain(home, "--run", "tiny_cnn", "--what", "synthesis", words=words)
    assert said.code == 2 and "'eleven'" in said.err
