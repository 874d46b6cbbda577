"""The report of `make explain`: the gallery page, its picture files, and explain.json for other stages.

Owns the content of these three. Does not own the panels (`explain/panels.py`), the scene (`explain/cases.py`)
or the gallery's template (`pages/gallery.py`).

The form of explain.json:

    {"format": 1, "experiment": "lite0", "train": "train/<key>", "classes": ["cat", …],
     "parts": {"cam": {"title": …, "lead": …, "notes": […], "warnings": […], "tables": [
                 {"title": …, "columns": […], "rows": [[…], …], "note": …}], "data": …}, …},
     "cases": {"train/17": {"id": "17", "image": 1, "images": 1, "p_without": null,
                 "split": "train", "fold": 2, "group": …, "true": 3, "predicted": 5,
                 "rival": 3, "p_predicted": 0.91, "p_true": 0.02, "p_rival": 0.02, "title": …,
                 "pictures": [{"part": "cam", "name": "gradcam-predicted", "group": "for dog",
                               "caption": "Grad-CAM", "title": …, "file": "pictures/cam/000-…/….png"}, …],
                 "notes": {"occlusion": "Hiding the strongest square takes dog from 91 % to 34 %."},
                 "facts": {"cam": {…}, "occlusion": {…}, …}}, …}}

`true` is null for a test image (then `p_true` is, too); classes are indices into `classes`; `cases` are in
the page's order, worst first. Of a sample with several `images`, each explained `image` is a case of its own
(`train/17, image 2`), with the probability of the predicted class without it. Pictures of the error report:
part `cam`, names `image`,
`gradcam-predicted`, `gradcam-rival` (the rival of an error is the true class); part `occlusion`,
`occlusion-predicted`. Facts of `cam`, `gradients` and `occlusion`: `flat`, names of pictures that are not a
finding (do not show them as one); `object`, absent if the object is unknown: {"from": "box" or "border",
"area": its share of the image, "share": {name: share of the map's mass on the object, or null}}; of
`occlusion` also `drop`: {name: {"before": p, "after": p, "square": [left, top, right, bottom] px}}; with
explain.sanity `random_correlation`: how alike the map of random weights is, −1 to 1, or null. `data` of part
`attention`: {"from": […], "warning": sentence or "", "classes": [{"name", "n_images", "n_groups",
"background", "area", "excess", "low", "high", "verdict"}, …, of all together]}. A part is a panel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.data.several import sample_of
from pipeline.engine.stage import Job
from pipeline.explain import maps, texts
from pipeline.explain.panels import NAMES
from pipeline.explain.scene import ExplainedImage, Scene
from pipeline.pages import gallery
from pipeline.pages.command_words import make_with
from pipeline.pages.gallery import GalleryRow, Panel
from pipeline.record import files

PAGE, FACTS = "explain.html", "explain.json"
FORMAT = 1
Files = dict[tuple[str, str], dict[str, str]]


def write(job: Job, scene: Scene, panels: Sequence[Panel]) -> None:
    """Write explain.html, explain.json and the pictures into the artifact."""
    picture_files = {
        (panel.name, row.name): _write_pictures(job.draft, panel, row, at)
        for panel in panels
        for at, row in enumerate(panel.rows)
    }
    files.write_json(job.draft / FACTS, _facts(job, scene, panels, picture_files))
    page = gallery.render_html(_gallery(job, scene, panels))
    (job.draft / PAGE).write_text(page, encoding="utf-8")


def _gallery(job: Job, scene: Scene, panels: Sequence[Panel]) -> gallery.Gallery:
    config = job.settings.config.competition
    some = scene.cases[0].key if scene.cases else scene.samples.ids_N[0]
    named = some if re.fullmatch(r"[\w./-]+", str(some)) else "…"
    own = job.words["train"]
    commands = (
        ("explain one image", make_with(f"make explain ID={named}", own)),
        ("explain another network", make_with("make explain RUN=…", job.words["competition"])),
        ("show some panels", make_with(f"make explain WHAT={','.join(NAMES[:2])}", own)),
    )
    return gallery.Gallery(
        title=f"{config.title or config.name}: what {scene.experiment} looks at",
        lead=lead(job, scene),
        commands=commands,
        panels=tuple(panels),
        cases=tuple((case.key, maps.title(scene, case)) for case in scene.cases),
    )


def lead(job: Job, scene: Scene) -> str:
    """Which images these are, and which networks explain them."""
    return f"{scene.about} {_images(job, scene)}".strip()


def _images(job: Job, scene: Scene) -> str:
    by = texts.BY_UNSEEN_FOLD
    if any(case.split == "test" for case in scene.cases):
        by += texts.BY_ONE_FOLD
    if str(job.params.get("ids", "[]")) != "[]":
        return texts.LEAD_NAMED.format(by=by)
    if any(case.is_error for case in scene.cases):
        return texts.LEAD_ERRORS.format(n=len(scene.cases), by=by)
    return texts.LEAD_DOUBTFUL.format(by=by)


def _write_pictures(draft: Path, panel: Panel, row: GalleryRow, at: int) -> dict[str, str]:
    """Name of each picture of a row -> its file, relative to the artifact; only safe characters are kept."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", row.name)[:40].strip("-")
    folder = Path("pictures") / panel.name / f"{at:03d}-{slug}"
    (draft / folder).mkdir(parents=True)
    paths = {}
    for picture in row.pictures:
        assert re.fullmatch(r"[a-z0-9-]+", picture.name), f"not a safe file name: {picture.name}"
        paths[picture.name] = (folder / f"{picture.name}.png").as_posix()
        Image.fromarray(np.ascontiguousarray(picture.pixels_HWC)).save(draft / paths[picture.name])
    return paths


def _facts(job: Job, scene: Scene, panels: Sequence[Panel], picture_files: Files) -> dict[str, Any]:
    """The content of explain.json; its form is described at the top of this file."""
    of_panels = {
        panel.name: {
            "title": panel.title,
            "lead": panel.lead,
            "notes": panel.notes,
            "warnings": panel.warnings,
            "tables": [
                {"title": t.title, "columns": t.columns, "rows": t.rows, "note": t.note} for t in panel.tables
            ],
            "data": panel.data,
        }
        for panel in panels
    }
    return {
        "format": FORMAT,
        "experiment": scene.experiment,
        "train": f"train/{job.inputs['train'].key}",
        "classes": scene.space.classes,
        "parts": of_panels,
        "cases": {case.key: _of_case(scene, case, panels, picture_files) for case in scene.cases},
    }


def _of_case(
    scene: Scene, case: ExplainedImage, panels: Sequence[Panel], picture_files: Files
) -> dict[str, Any]:
    rows = [(panel, row) for panel in panels for row in panel.rows if row.case == case.key]
    return {
        "id": sample_of(case.id),
        "image": case.number,
        "images": case.of,
        "p_without": case.p_without,
        "split": case.split,
        "fold": case.fold,
        "group": case.group,
        "true": case.true,
        "predicted": case.predicted,
        "rival": case.rival,
        "p_predicted": float(case.p_C[case.predicted]),
        "p_true": None if case.true is None else float(case.p_C[case.true]),
        "p_rival": float(case.p_C[case.rival]),
        "title": maps.title(scene, case),
        "pictures": [
            {
                "part": panel.name,
                "name": picture.name,
                "group": picture.group,
                "caption": picture.caption,
                "title": picture.title or picture.caption,
                "file": picture_files[panel.name, row.name][picture.name],
            }
            for panel, row in rows
            for picture in row.pictures
        ],
        "notes": {panel.name: row.note for panel, row in rows if row.note},
        "facts": {panel.name: panel.facts[case.key] for panel in panels if case.key in panel.facts},
    }
