"""The stage of `explain/`: a gallery of what a network looks at.

Owns the declaration and the function that builds it. Does not own the panels (`explain/panels.py`), which
networks and images are explained (`explain/cases.py`), or the files (`explain/page.py`).
"""

from __future__ import annotations

from pipeline.core.wording import worded
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_experiment
from pipeline.explain import texts
from pipeline.explain.panels import NAMES, check_names, functions
from pipeline.settings.load import Settings
from pipeline.train.stages import train_inputs


def refuse_explain(settings: Settings) -> None:
    """Raise ConfigError for unknown panel names."""
    if settings.config.explain.parts is not None:
        check_names(settings.config.explain.parts)


def explain_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """Trained folds, the images as they saw them, and boxes if there are any."""
    images = {name: Need(name, settings) for name in ("images", "prepared", "train")}
    boxes = {"boxes": Need("boxes", settings)} if settings.config.crop.boxes else {}
    return train_inputs(ask, settings, params) | images | boxes


def build_explain(job: Job) -> Built:
    """Make the gallery: explain.html, explain.json and the pictures.

    Raises:
        DataError: an image that no network can explain.
        ModelError: a network without a layer over the image.
    """
    from pipeline.explain import cases, maps, page
    from pipeline.pages.command_words import make_with
    from pipeline.record.tracking import note

    scene = cases.scene_of(job)
    panel_of = functions()
    panels = [panel_of[name](scene) for name in job.settings.config.explain.parts or NAMES]
    page.write(job, scene, panels)
    figures = {f"{panel.name}_{name}": value for panel in panels for name, value in panel.figures.items()}
    warnings = [text for panel in panels for text in panel.warnings]
    names = ", ".join(panel.name for panel in panels)
    lines = [worded(texts.LINE, n_images=len(scene.cases), n_panels=len(panels), names=names)]
    lines += [f"warning: {text}" for text in warnings]
    what = f"what {scene.experiment} looks at: {', '.join(panel.title for panel in panels)}"
    why = "; ".join(warnings) or page.lead(job, scene)
    again = make_with("make error-analysis", job.words["competition"])
    result = "; ".join(maps.title(scene, case) for case in scene.cases[:3])
    return Built(figures, tuple(lines), note(what, why, again, page.PAGE, result), (page.PAGE,))


STAGES = (
    Stage(
        "explain",
        2,
        "what a network looks at",
        build_explain,
        reads=(
            "explain",
            # Near-duplicates among the nearest training images.
            "eda.near_bits",
            "eda.near_ratio",
            "eda.near_match",
            "statistics.draws",
            "competition.title",
        ),
        inputs=explain_inputs,
        words=("train", "competition"),
        label=of_experiment,
        refuse=refuse_explain,
        tracked=True,
    ),
)
