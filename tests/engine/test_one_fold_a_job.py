"""One fold a job on a shared folder: jobs of a batch system run at the same time, and the last one scores."""

import os
import subprocess
import sys

import pytest
from main_world import SMALL, artifacts, run

pytestmark = pytest.mark.slow


def test_jobs_train_one_fold_each_and_the_last_one_scores_them_together(tmp_path):
    words = [*SMALL, "experiment=tiny_cnn", f"runtime.home={tmp_path}"]
    jobs = [
        subprocess.Popen(
            [sys.executable, "-m", "pipeline", "train", *words, f"train.folds=[{fold}]"],
            env={**os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for fold in range(2)
    ]
    said = [job.communicate(timeout=300)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], "\n".join(said)
    folds = {a.key: a.manifest["created"] for a in artifacts(tmp_path, "fold")}
    assert len(folds) == 2
    last = run(tmp_path, "infer", "experiment=tiny_cnn")
    assert last.code == 0, last.out + last.err
    assert {a.key: a.manifest["created"] for a in artifacts(tmp_path, "fold")} == folds, (
        "nothing is trained again"
    )
    (inferred,) = artifacts(tmp_path, "infer")
    assert inferred.metrics["complete"] == 1.0 and list((tmp_path / "submissions").glob("digits-*.csv"))
