"""A person's answers through the command: taken in, estimated, kept, and refused where they are wrong."""

import csv
import json
import re
import shutil
import traceback
from pathlib import Path

import pytest
from main_world import run
from test_cli import READ_BY_EDA

from pipeline.core.seeds import rng
from pipeline.errors import page
from pipeline.errors.diff.flips import find_flips
from pipeline.record import files

SMALL = [w for w in READ_BY_EDA if w != "competition.demo.limit=200"]
WORDS = ["competition.demo.limit=200", "statistics.draws=100", "report.controls=12"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Digits with two outside CSVs: one right in nine of ten images, one in seven of ten."""
    home = tmp_path_factory.mktemp("judged")
    said = run(home, "eda", "competition.demo.limit=200", small=SMALL)
    assert said.code == 0, said.err
    (answers,) = home.glob("data/**/answers.csv")
    rows = list(csv.DictReader(answers.read_text(encoding="utf-8").splitlines()))
    (sample,) = home.glob("data/**/sample_submission.csv")
    header = sample.read_text(encoding="utf-8").splitlines()[0].split(",")
    draw = rng(0, "outside")
    for file, skill in (("mine", 0.9), ("best", 0.65)):
        with (home / f"{file}.csv").open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(header)
            for row in rows:
                right = int(row["label"])
                writer.writerow([row["id"], right if draw.random() < skill else int(draw.integers(0, 10))])
    truth = {row["id"]: int(row["label"]) for row in rows}
    (home / "truth.json").write_text(json.dumps(truth))
    return home


@pytest.fixture
def copied(home, tmp_path):
    shutil.copytree(home, tmp_path / "copy")
    return tmp_path / "copy"


def analyse(home, *options, asked=10):
    sides = [f"--a={home / 'mine.csv'}", f"--b={home / 'best.csv'}"]
    return run(
        home, "error-analysis", *WORDS, f"report.judge={asked}", small=SMALL, options=[*sides, *options]
    )


def report_of(home, said):
    return home / re.search(r"^report: (\S+)$", said.out, re.MULTILINE).group(1)


def page_of(home, said):
    return report_of(home, said).read_text(encoding="utf-8")


def questions(page):
    return json.loads(re.search(r'id="questions">(.*?)</script>', page, re.DOTALL)[1])


def labels_of_train(home):
    (data,) = home.glob("artifacts/data/*")
    train = files.read_samples(data / "train.npz", home)
    return dict(zip(train.ids_N.tolist(), train.labels.tolist(), strict=True))


def answered(home, data, path):
    """What the page would export, by a person who is always right."""
    truth = json.loads((home / "truth.json").read_text())
    known = labels_of_train(home)
    values = data["attributes"][0]["values"]
    with path.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(data["columns"])
        for item in data["items"]:
            label = known[item["id"]] if item["control"] else truth[item["id"]]
            control = "yes" if item["control"] else "no"
            writer.writerow(
                [item["id"], values[label], "no", item["stratum"], item["inclusion"], control, data["report"]]
            )
    return path


def test_answers_become_an_estimate_and_are_not_asked_again(copied, tmp_path):
    first = analyse(copied)
    assert first.code == 0, first.err
    data = questions(page_of(copied, first))
    asked = {item["id"] for item in data["items"] if not item["control"]}
    assert sum(item["control"] for item in data["items"]) == 12 and "judged by eye:" not in first.out
    path = answered(copied, data, tmp_path / "verdicts.csv")
    said = analyse(copied, f"--verdicts={path}")
    assert said.code == 0, said.err
    assert f"{len(asked)} flips and 12 controls from verdicts.csv" in said.out
    told = re.search(r"judged by eye: (\S+)[^,]*, new − old ([+−][\d.]+) \[", said.out)
    assert told and 10 <= len(asked) < 20 and told[1] == "can't" and "judge at least 20" in said.out
    assert "0 of 12 controls answered wrongly" in said.out
    page = page_of(copied, said)
    assert 'id="judged"' in page and questions(page) is None and "Every sampled flip is judged" in page
    kept = copied / "submissions" / "verdicts" / "digits.csv"
    before = kept.read_bytes()
    again = analyse(copied, f"--verdicts={path}")
    assert again.code == 0 and kept.read_bytes() == before and "reused" in again.out
    more = analyse(copied, asked=60)
    further = {item["id"] for item in questions(page_of(copied, more))["items"] if not item["control"]}
    assert further and not further & asked, "only new flips are asked"
    assert "judged by eye:" in more.out, "what is known is used"
    rest = answered(copied, questions(page_of(copied, more)), tmp_path / "rest.csv")
    whole = analyse(copied, f"--verdicts={rest}", asked=60)
    assert re.search(r"judged by eye: better, new − old \+0\.\d+ \[\+", whole.out), whole.out


def test_faulty_answers_are_refused_with_every_fault_and_exit_2(copied, tmp_path):
    data = questions(page_of(copied, analyse(copied)))
    path = answered(copied, data, tmp_path / "bad.csv")
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
    flips = [k for k, row in enumerate(rows) if k and row[5] == "no"]
    rows[flips[0]][0] = "<img src=x onerror=alert(1)>"
    rows[flips[1]][1] = "eleven"
    rows[flips[2]][4] = "0.999999"
    rows.append(rows[flips[3]])
    rows[flips[4]][6] = "0123456789-0123456789-10"
    with path.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows(rows)
    said = analyse(copied, f"--verdicts={path}")
    assert said.code == 2 and "5 faults; no answer was stored" in said.err
    for fault in (
        "not a flip: no image with this id has predictions that differ",
        "'eleven' is not a value",
        "0.999999, but the report asked with",
    ):
        assert fault in said.err
    assert "is repeated; it is first on line" in said.err and "compares other submissions" in said.err
    assert not (copied / "submissions" / "verdicts").exists()
    for text, fault in (("id,report\n1,2\n", "columns missing"), (",".join(rows[0]) + "\n", "only a header")):
        path.write_text(text)
        said = analyse(copied, f"--verdicts={path}")
        assert said.code == 2 and fault in said.err
    assert analyse(copied, "--verdicts=nowhere.csv").code == 2


def test_a_file_about_other_submissions_names_them(copied, tmp_path):
    data = questions(page_of(copied, analyse(copied)))
    path = answered(copied, data, tmp_path / "verdicts.csv")
    (copied / "submissions").mkdir(exist_ok=True)
    for name in ("mine", "best"):
        shutil.copy(copied / f"{name}.csv", copied / "submissions" / f"{name}.csv")
    sides = [f"--a={copied / 'best.csv'}", f"--b={copied / 'mine.csv'}", f"--verdicts={path}"]
    said = run(copied, "error-analysis", *WORDS, small=SMALL, options=sides)
    assert said.code == 2 and "the file is about these submissions: make error-analysis A=" in said.err
    assert re.search(r"A=\S*submissions/mine\.csv B=\S*submissions/best\.csv", said.err)


def test_a_damaged_file_of_kept_answers_is_told(copied):
    kept = copied / "submissions" / "verdicts" / "digits.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("id,answer:digit,unsure,stratum,inclusion,control,report\n7,ten,no,x,0.5,no,r\n")
    said = analyse(copied)
    assert said.code == 2 and "digit 'ten' is not a value" in said.err and "digits.csv" in said.err


def test_the_command_reaches_the_flips_in_five_files(copied, monkeypatch):
    """What a newcomer reads from `make error-analysis` to the first difference, the engine aside."""
    stacks = []

    def spy(*arguments):
        stacks.append({Path(frame.filename) for frame in traceback.extract_stack()})
        return find_flips(*arguments)

    monkeypatch.setattr(page, "find_flips", spy)
    said = analyse(copied, asked=11)
    assert said.code == 0, said.err
    room = Path(page.__file__).parents[1]
    files = {str(f.relative_to(room)) for f in stacks[0] if f.is_relative_to(room)}
    files = {name for name in files if not name.startswith("engine")} | {"errors/diff/flips.py"}
    assert files == {
        "cli.py",
        "errors/commands.py",
        "errors/stages.py",
        "errors/page.py",
        "errors/diff/flips.py",
    }
