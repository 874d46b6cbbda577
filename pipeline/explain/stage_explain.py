"""`make explain`: what a network looks at, as a gallery of pictures.

    make explain                                       the worst errors of the best finished network
    make explain RUN=probe                             of another experiment
    make explain ID=17,test/4 WHAT=cam,occlusion       named images, some parts
    make explain ID=test/4 FOLD=2                      a test image, by the network of another fold

Owns the stage only: parts are `pipeline/explain/`, which images and networks `explain/scenes.py`, the page
`pages/gallery.py`.

The artifact holds explain.html, pictures/…png and explain.json, which other stages read:

    {"format": 1, "experiment": "lite0", "train": "train/<key>", "classes": ["cat", …],
     "parts": {"cam": {"title": …, "lead": …, "notes": […], "warnings": […], "tables": [
                 {"title": …, "columns": […], "rows": [[…], …], "note": …}], "data": …}, …},
     "cases": {"train/17": {"id": "17", "split": "train", "fold": 2, "group": …, "true": 3, "predicted": 5,
                 "rival": 3, "p_predicted": 0.91, "p_true": 0.02, "p_rival": 0.02, "title": …,
                 "pictures": [{"part": "cam", "name": "gradcam-predicted", "group": "for dog",
                               "caption": "Grad-CAM", "title": …, "file": "pictures/cam/000-…/….png"}, …],
                 "notes": {"occlusion": "Hiding the strongest square takes dog from 91 % to 34 %."},
                 "facts": {"cam": {…}, "occlusion": {…}, …}}, …}}

`true` is null for a test image (then `p_true` is, too); classes are indices into `classes`; `cases` are in
the page's order, worst first. Pictures of the error report: part `cam`, names `image`,
`gradcam-predicted`, `gradcam-rival` (the rival of an error is the truth); part `occlusion`,
`occlusion-predicted`. Facts of `cam`, `gradients` and `occlusion`: `flat`, names of pictures that hold
no finding (show none as one); `object`, absent where nothing tells the object: {"from": "box" or "border",
"area": its share of the image, "share": {name: share of the map's mass on the object, or null}}; of
`occlusion` also `drop`: {name: {"before": p, "after": p, "square": [left, top, right, bottom] px}}; with
explain.sanity `random_correlation`: how alike the map of random weights is, −1 to 1, or null. `data` of part
`attention`: {"from": […], "warning": sentence or "", "classes": [{"name", "n_images", "n_groups",
"background", "area", "excess", "low", "high", "verdict"}, …, of all together]}.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.engine.stage import Built, Job
from pipeline.explain import maps, parts, scenes
from pipeline.explain.parts import Case, Part, Row, Scene
from pipeline.pages import gallery
from pipeline.pages.command_words import make_with
from pipeline.record import files
from pipeline.record.tracking import note
from pipeline.settings.load import Settings

PAGE, FACTS = "explain.html", "explain.json"
FORMAT = 1


def refuse(settings: Settings) -> None:
    """Raise ConfigError for parts that there are none of."""
    if settings.config.explain.parts is not None:
        parts.check_names(settings.config.explain.parts)


def build(job: Job) -> Built:
    """Write explain.html, explain.json and the pictures.

    Raises:
        DataError: an image that no network can explain.
        ModelError: a network without a layer over the image.
    """
    settings = job.settings.config.explain
    scene = scenes.of(job)
    shown = [parts.part_of(name)(scene) for name in settings.parts or parts.PARTS]
    places = {(part.name, row.name): _write(job.draft, part, row, at)
              for part in shown for at, row in enumerate(part.rows)}  # fmt: skip
    files.write_json(job.draft / FACTS, _facts(job, scene, shown, places))
    page = gallery.render_html(_gallery(job, scene, shown))
    (job.draft / PAGE).write_text(page, encoding="utf-8")
    figures = {f"{part.name}_{name}": value for part in shown for name, value in part.figures.items()}
    warnings = [text for part in shown for text in part.warnings]
    lines = [f"{len(scene.cases)} images, {len(shown)} parts: {', '.join(p.name for p in shown)}"]
    lines += [f"careful: {text}" for text in warnings]
    what = f"what {scene.experiment} looks at: {', '.join(part.title for part in shown)}"
    why = "; ".join(warnings) or _lead(job, scene)
    again = make_with("make error-analysis", job.words["competition"])
    result = "; ".join(maps.title(scene, case) for case in scene.cases[:3])
    return Built(figures, tuple(lines), note(what, why, again, PAGE, result), (PAGE,))


def _gallery(job: Job, scene: Scene, shown: list[Part]) -> gallery.Gallery:
    config = job.settings.config.competition
    some = scene.cases[0].key if scene.cases else scene.samples.ids_N[0]
    named = some if re.fullmatch(r"[\w./-]+", str(some)) else "…"
    own = job.words["train"]
    commands = (
        ("one image", make_with(f"make explain ID={named}", own)),
        ("another network", make_with("make explain RUN=…", job.words["competition"])),
        ("some parts", make_with(f"make explain WHAT={','.join(list(parts.PARTS)[:2])}", own)),
    )
    return gallery.Gallery(
        title=f"{config.title or config.name}: what {scene.experiment} looks at",
        lead=_lead(job, scene),
        commands=commands,
        parts=tuple(shown),
        cases=tuple((case.key, maps.title(scene, case)) for case in scene.cases),
    )


def _lead(job: Job, scene: Scene) -> str:
    """Which images these are, and who explains them."""
    by = "Each training image is explained by the fold that never saw it"
    if any(case.split == "test" for case in scene.cases):
        by += ", a test image by one fold"
    if str(job.params.get("ids", "[]")) != "[]":
        return f"Images that were asked for. {by}."
    if any(case.is_error for case in scene.cases):
        return (
            f"The {len(scene.cases)} worst out-of-fold errors, spread over confused pairs of classes. {by}."
        )
    return f"No out-of-fold error was found; these images were the closest calls. {by}."


def _write(draft: Path, part: Part, row: Row, at: int) -> dict[str, str]:
    """Name of each picture of a row -> its file, relative to the artifact. Names are cut to safe signs."""
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", row.name)[:40].strip("-")
    folder = Path("pictures") / part.name / f"{at:03d}-{slug}"
    (draft / folder).mkdir(parents=True)
    found = {}
    for picture in row.pictures:
        assert re.fullmatch(r"[a-z0-9-]+", picture.name), f"no name of a file: {picture.name}"
        found[picture.name] = (folder / f"{picture.name}.png").as_posix()
        Image.fromarray(np.ascontiguousarray(picture.pixels_HWC)).save(draft / found[picture.name])
    return found


def _facts(
    job: Job, scene: Scene, shown: list[Part], places: dict[tuple[str, str], dict[str, str]]
) -> dict[str, Any]:
    """The file's content; its form is told at the top of this file."""
    of_parts = {
        part.name: {
            "title": part.title,
            "lead": part.lead,
            "notes": part.notes,
            "warnings": part.warnings,
            "tables": [
                {"title": t.title, "columns": t.columns, "rows": t.rows, "note": t.note} for t in part.tables
            ],
            "data": part.data,
        }
        for part in shown
    }
    return {
        "format": FORMAT,
        "experiment": scene.experiment,
        "train": f"train/{job.inputs['train'].key}",
        "classes": scene.space.classes,
        "parts": of_parts,
        "cases": {case.key: _of_case(scene, case, shown, places) for case in scene.cases},
    }


def _of_case(
    scene: Scene, case: Case, shown: list[Part], places: dict[tuple[str, str], dict[str, str]]
) -> dict[str, Any]:
    rows = [(part, row) for part in shown for row in part.rows if row.case == case.key]
    return {
        "id": case.id,
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
                "part": part.name,
                "name": picture.name,
                "group": picture.group,
                "caption": picture.caption,
                "title": picture.title or picture.caption,
                "file": places[part.name, row.name][picture.name],
            }
            for part, row in rows
            for picture in row.pictures
        ],
        "notes": {part.name: row.note for part, row in rows if row.note},
        "facts": {part.name: part.facts[case.key] for part in shown if case.key in part.facts},
    }
