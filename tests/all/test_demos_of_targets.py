"""`make all`, validate, score and reproduce on demos whose answers are no single class."""

import csv
import re

import pytest
from demo_run import make

pytestmark = pytest.mark.slow

QUICK = "experiment=debug folds.n=2 statistics.draws=100 runtime.threads=1 runtime.mlflow=false"
DEMOS = {
    "digits-values": (
        "competition.demo.limit=400",
        "ensemble.members=[tiny_cnn+debug,tiny_resnet+debug]",
        "rmse",
        ["id", "left", "right"],
    ),
    "digits-pairs": (
        "competition.demo.limit=400",
        "ensemble.members=[tiny_cnn+debug,tiny_resnet+debug]",
        "rmse",
        ["id", "total"],
    ),
    "emoji-labels": (
        "competition.demo.per_concept=1",
        "images.size=32 ensemble.members=[tiny_cnn+debug,tiny_resnet+debug]",
        "macro_f1",
        ["id", "smileys", "people", "animals"],
    ),
}


@pytest.mark.parametrize("name", DEMOS)
def test_a_demo_of_another_target_goes_all_the_way(tmp_path, name):
    limit, more, metric, columns = DEMOS[name]
    words = f"competition={name} {limit} {QUICK} {more}"
    code, out, err, _ = make("all", tmp_path, words)
    assert code == 0 and "Traceback" not in err, err[-2000:]
    assert re.search(rf"pooled OOF {metric} +\d+\.\d{{4}}  95 % interval", out)
    assert re.search(r"public score +\d+\.\d{4}", out)
    (path,) = tmp_path.glob(f"submissions/{name}-ensemble-*.csv")
    with path.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0][: len(columns)] == columns and all(float(cell) >= -50 for cell in rows[1][1:])
    about = f"competition={name} {limit} runtime.mlflow=false"
    code, out, err, _ = make("validate", tmp_path, about, FILE=str(path))
    assert code == 0 and f"{path.name}" in out, err[-500:]
    code, out, err, _ = make("score", tmp_path, about, FILE=path.stem, REVEAL="1")
    assert code == 0 and re.search(r"private \d+\.\d{4}", out), err[-500:]
    code, out, err, _ = make("reproduce", tmp_path, "runtime.threads=1 runtime.mlflow=false", FILE=str(path))
    assert code == 0 and "reproduced" in out, err[-2000:]
