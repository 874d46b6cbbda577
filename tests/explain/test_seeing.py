"""The parts activations, patches, filters, synthesis, neighbours and embedding on a scene."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeing_world import net, scene, small_cnn, timm_net, trained_cnn

from pipeline.core.errors import ConfigError
from pipeline.explain import embedding, neighbours, panels, synthesis, units
from pipeline.settings.schema import Config


def config(**sections):
    return Config.model_validate({"explain": sections})


QUICK = {"synthesis": {"steps": 12, "shown": 2, "penalty": 0.1}}


def trained(fold):
    made = trained_cnn()
    return replace(made, fold=fold, features=lambda x: made.backbone[:7](x))


def test_every_part_is_registered_and_says_its_own_name():
    told = scene(trained, config=config(**QUICK, embedding={"seeds": 2, "perplexity": 5}))
    for name in ("activations", "patches", "filters", "synthesis", "neighbours", "embedding"):
        found = panels.functions()[name](told)
        assert found.name == name and found.lead and found.title
        names = [row.name for row in found.rows]
        assert len(names) == len(set(names)), "rows are folders"
        for row in found.rows:
            assert row.pictures and len({p.name for p in row.pictures}) == len(row.pictures)
            assert all(re.fullmatch("[a-z0-9-]+", p.name) for p in row.pictures), "pictures are files"
            assert all(p.pixels_HWC.dtype == np.uint8 and p.pixels_HWC.shape[2] == 3 for p in row.pictures)
        assert not any(p.requires_grad for p in told.lead.module.parameters())


def test_activations_show_the_channels_that_are_asked_for():
    told = scene(trained, config=config(units={"layers": ["3"], "channels": [2, 5], "images": 2}))
    found = units.activations(told)
    assert [row.case for row in found.rows] == ["train/d0", "train/d1"]
    assert [p.name for p in found.rows[0].pictures] == ["image", "layer0-2", "layer0-5"]
    assert units.activations(scene(trained, cases=0)).warnings


def test_patches_come_from_images_that_the_network_never_learned_from():
    told = scene(trained, config=config(units={"layers": ["0"], "channels": [1], "patches": 30}))
    (row,) = units.patches(told).rows
    shown = {p.title.split(",")[0].removeprefix("train/") for p in row.pictures}
    assert len(shown) == 30 and shown <= set(told.plan.splits[told.lead.fold].valid_ids.tolist())
    assert {p.pixels_HWC.shape for p in row.pictures} <= {(a, b, 3) for a in (2, 3) for b in (2, 3)}
    both = config(units={"layers": ["0"], "channels": [1], "every_fold": True})
    rows = units.patches(scene(trained, config=both)).rows
    assert [row.name for row in rows] == ["fold0-0-1", "fold1-0-1"]


def test_a_frozen_backbone_is_searched_over_all_out_of_fold_images():
    frozen = Config.model_validate({"train": {"strategy": "linear_probe"}})
    ids, which = units.fair_ids(scene(trained, config=frozen), trained(0))
    assert len(ids) == 60 and "frozen" in which


def test_a_transformer_says_that_it_has_no_receptive_field():
    def vit(fold):
        return timm_net("vit_tiny_patch16_224", (32, 32), img_size=32, depth=1)

    told = scene(vit, size=32, n=24, config=config(units={"layers": ["blocks.0"], "shown": 1, "patches": 2}))
    found = units.patches(told)
    assert "not defined for a transformer" in found.warnings[0]
    framed = next(r for r in found.rows if "blocks" in r.name).pictures[0].pixels_HWC
    assert (framed == units.FRAME).all(axis=2).any(), "the token's own place is framed"


def test_layers_and_channels_that_are_not_there_are_refused():
    with pytest.raises(ConfigError, match="layer9"):
        units.patches(scene(trained, config=config(units={"layers": ["layer9"]})))
    with pytest.raises(ConfigError, match="there is no channel 99"):
        units.activations(scene(trained, config=config(units={"channels": [1, 99]})))
    with pytest.raises(ConfigError, match="'zebra'"):
        synthesis.panel(scene(trained, config=config(synthesis={"classes": ["zebra"]})))


def test_synthesis_raises_named_classes_and_channels():
    settings = {"steps": 12, "penalty": 0.1, "start": "noise", "classes": ["4", "9"]}
    found = synthesis.panel(scene(trained, config=config(synthesis=settings)))
    assert [p.group for p in found.rows[0].pictures] == ["4", "9"] and found.figures["raised"] == 1
    assert all(line[3] > line[2] for line in found.tables[0].rows)
    settings = {"steps": 6, "penalty": 0.1, "layer": "3", "channels": [2], "start": "noise"}
    found = synthesis.panel(scene(trained, config=config(synthesis=settings)))
    assert [p.group for p in found.rows[0].pictures] == ["3, channel 2"]


def test_a_score_that_does_not_rise_is_told():
    def dead(fold):
        backbone = small_cnn()
        for p in backbone.parameters():
            p.data.zero_()
        return net(backbone, ["0", "3"], fold=fold)

    found = synthesis.panel(scene(dead, config=config(synthesis={"steps": 3, "shown": 1})))
    assert "did not rise" in found.warnings[0]


def test_neighbours_carry_marks_and_facts():
    told = scene(trained)
    found = neighbours.panel(told)
    near = found.facts["train/d0"]
    assert len(near["features"]) == len(near["pixels"]) == 6
    by_id = dict(zip(told.samples.ids_N.tolist(), told.samples.groups_N.tolist(), strict=True))
    for entry in near["features"] + near["pixels"]:
        assert ("same group" in entry["marks"]) == (by_id[entry["id"]] == "g0")
        held = entry["id"] in told.plan.splits[0].valid_ids
        assert ("held out too" in entry["marks"]) == held
    distances = [entry["distance"] for entry in near["features"]]
    assert distances == sorted(distances)


def test_a_copy_is_marked_as_near_duplicate_and_a_test_image_has_neighbours_too():
    told = scene(trained, cases=1)
    case = replace(told.cases[0], split="test", true=None, id="d0")
    found = neighbours.panel(replace(told, cases=(case,)))
    first = found.facts["test/d0"]["pixels"][0]
    assert first["id"] == "d0" and first["distance"] == 0, "the training image of the same name and look"


def test_embedding_warns_of_collinear_features_and_colours_by_error():
    def collinear(fold):
        made = trained(fold)
        two_D2 = torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
        return replace(made, features=lambda x: (made.features(x) @ two_D2).repeat(1, 20))

    settings = config(embedding={"seeds": 2, "perplexity": 5})
    found = embedding.panel(scene(collinear, config=settings))
    assert found.warnings[0].startswith("Collinear") and found.figures["effective_rank"] <= 2
    assert len(found.clouds) == 2 and set(found.clouds[0].colours) == {"class", "error"}
    told = scene(trained, config=settings)
    cloud = embedding.panel(told).clouds[0]
    assert len(cloud.names_N) == len(told.plan.splits[0].valid_ids) == len(cloud.thumbs_N)
    right = (told.oof.labels() == told.samples.labels).sum()
    assert 0 < cloud.colours["error"].count("right") <= right
    assert any("mean nothing" in note for note in embedding.panel(told).notes)


def test_too_few_images_make_no_map():
    found = embedding.panel(scene(trained, n=24, config=config(embedding={"seeds": 2})))
    assert not found.clouds and "needs 20 images" in found.warnings[0]


def test_features_that_are_all_alike_make_no_map():
    def constant(fold):
        return replace(trained(fold), features=lambda x: torch.ones(len(x), 5))

    found = embedding.panel(scene(constant))
    assert not found.clouds and "cannot tell images apart" in found.warnings[0]


def test_each_filter_is_a_picture_of_its_weights():
    (row,) = units.filters(scene(trained)).rows
    assert len(row.pictures) == 8 and row.pictures[0].pixels_HWC.shape == (192, 192, 3)
    assert row.pictures[0].pixels_HWC.std() > 0
