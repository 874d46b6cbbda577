"""The stage of `submit/`: out-of-fold against public scores, as a page.

Owns the declaration. Does not own the checks (`submit/gap/`) nor the page (`submit/leaderboard_page.py`).
"""

from __future__ import annotations

from pipeline.engine.stage import Built, Job, Stage, needs


def build_leaderboard(job: Job) -> Built:
    """Write the leaderboard's page."""
    from pipeline.submit import stage_leaderboard

    return stage_leaderboard.build(job)


STAGES = (
    Stage(
        "leaderboard",
        2,
        "out-of-fold against public scores",
        build_leaderboard,
        reads=(
            *("eda", "statistics", "competition.metric", "competition.title", "competition.public_share"),
            "report.thumbnail_px",
        ),
        inputs=needs("data", "images", "folds", "prepared"),
        tracked=True,
    ),
)
