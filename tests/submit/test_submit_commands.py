"""validate, submit and reproduce as a user types them, on small digits, with stand-ins for the client."""

import dataclasses
import json
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest
from main_world import MEMBERS, READ_BY_EDA, artifacts, ledger, run

from pipeline import cli
from pipeline.cli import parser
from pipeline.engine.session import Session
from pipeline.settings.load import CONFIGS, load
from pipeline.stages import CATALOGUE

SMALL = [word for word in READ_BY_EDA if not word.startswith("folds")]
RUNTIME = ("runtime.mlflow=false",)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with two members and their blend, none of them scored."""
    home = tmp_path_factory.mktemp("made")
    said = run(home, "ensemble", MEMBERS)
    assert said.code == 0, said.err
    return home


@pytest.fixture
def home(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "home"))


def csv_of(home, who="ensemble"):
    (path,) = (home / "submissions").glob(f"digits-{who}-*.csv")
    return path


def submit(home, file, *words, options=(), **host):
    given = [f"competition.submission.{name}={value}" for name, value in host.items()]
    return run(home, "submit", *given, *words, small=SMALL, options=[f"--file={file}", *options])


def script(folder, text, name="send"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def submits(home):
    path = home / "submissions" / "submits.csv"
    return path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []


# make validate


def test_validate_accepts_ours_and_repairs_what_a_spreadsheet_did(home, tmp_path):
    ours = csv_of(home)
    said = run(home, "validate", small=SMALL, options=[f"--file={ours.stem}"])
    assert said.code == 0 and f"{ours.name}: valid: 50 images" in said.out
    theirs, out = tmp_path / "theirs.csv", tmp_path / "repaired.csv"
    rows = ours.read_text(encoding="utf-8").replace(",", ";").split()
    theirs.write_bytes("\r\n".join([rows[0], *sorted(rows[1:], reverse=True)]).encode("utf-8-sig"))
    said = run(home, "validate", small=SMALL, options=[f"--file={theirs}"])
    assert said.code == 2 and "2 faults for which a host may reject it" in said.err
    assert "separated by ';'" in said.err and "order: row 1" in said.err and "OUT=repaired.csv" in said.err
    assert "byte-order mark" in said.out and "line ends of Windows" in said.out
    said = run(home, "validate", small=SMALL, options=[f"--file={theirs}", f"--out={out}"])
    assert said.code == 0 and out.read_bytes() == ours.read_bytes()
    out.write_text("mine", encoding="utf-8")
    said = run(home, "validate", small=SMALL, options=[f"--file={theirs}", f"--out={out}"])
    assert said.code == 2 and out.read_text(encoding="utf-8") == "mine", "nothing is overwritten"


def test_validate_names_wrong_ids_and_values_and_asks_for_a_file(home, tmp_path):
    rows = csv_of(home).read_text(encoding="utf-8").splitlines()
    theirs = tmp_path / "theirs.csv"
    theirs.write_text("\n".join([rows[0], "new,3", *rows[2:-1], rows[-1] + "7"]), encoding="utf-8")
    out = tmp_path / "repaired.csv"
    said = run(home, "validate", small=SMALL, options=[f"--file={theirs}", f"--out={out}"])
    assert said.code == 2 and not out.exists()
    assert (
        f"1 id missing: '{rows[1][:-2]}'" in said.err and "1 id extra, not in the sample: 'new'" in said.err
    )
    assert "is not a class index 0…9" in said.err
    assert "FILE is missing" in run(home, "validate", small=SMALL).err
    assert "no such file" in run(home, "validate", small=SMALL, options=["--file=none.csv"]).err


# make submit


def test_a_rehearsal_without_a_host_ends_with_what_can_be_done(home):
    path = csv_of(home)
    said = submit(home, path, options=["--dry"])
    assert said.code == 0 and f"upload {path} on the host's page" in said.out
    last = said.out.strip().splitlines()[-1]
    assert last.startswith(f"next: make score FILE={path} PUBLIC=… ARGS=") and f"runtime.home={home}" in last


def test_submit_shows_the_probability_asks_and_hands_in(home, tmp_path, monkeypatch):
    path, send = csv_of(home), script(tmp_path, f'echo "got $1: $2"; cp "$1" {tmp_path}/there.csv')
    host = {"command": f"'{send} {{file}} {{message}}'", "per_day": 2}
    said = submit(home, path, **host)
    assert said.code == 2 and "there is no terminal for the question" in said.err and not submits(home)
    said = submit(home, path, options=["--dry"], **host)
    assert said.code == 0 and "DRY=1: nothing was sent" in said.out and "P(better than" in said.out
    assert "command: " in said.out and not submits(home) and not (tmp_path / "there.csv").exists()
    answers = iter(["n", "y"])
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    said = submit(home, path, **host)
    assert (
        said.code == 0
        and re.search(r"\nnot submitted\nhome page: .*\nnext: make submit", said.out)
        and not (tmp_path / "there.csv").exists()
    )
    said = submit(home, path, options=["--message=a; rm 'b' {file}"], **host)
    assert said.code == 0, said.err
    assert (
        "P(better than digits-tiny_" in said.out
        and "from paired out-of-fold predictions of 150 images" in said.out
    )
    assert "test images" in said.out and "submissions left today: 2 of 2" in said.out
    assert f"  got {path}: a; rm 'b' {{file}}\n" in said.out, "no character of a message is special"
    assert f"submitted {path.stem}; submissions left today: 1 of 2" in said.out
    assert (tmp_path / "there.csv").read_bytes() == path.read_bytes()
    (line,) = submits(home)
    assert line.split(",")[1:3] == ["digits", path.stem] and ",accepted," in line


def test_a_rehearsal_shows_everything_whatever_keeps_it_from_sending(home, tmp_path):
    """Without a host, without its program, with none left today; a file that is not valid is refused."""
    path = csv_of(home)
    said = submit(home, path, options=["--dry"])
    assert said.code == 0, said.err
    for words in (
        "valid: 50 images",
        "P(better than digits-tiny_",
        "competition.submission.command",
        "message: ",
    ):
        assert words in said.out
    first, *_, last = said.out.splitlines()
    assert first.startswith("competition     digits") and last.startswith("next: make score FILE=")
    said = submit(home, path, options=["--dry"], command="no-such-program {file}")
    assert said.code == 0 and "no-such-program" in said.out and "nothing was sent" in said.out
    send = script(tmp_path, f"touch {tmp_path}/sent")
    host = {"command": f"'{send} {{file}}'", "per_day": 1}
    assert submit(home, path, options=["--yes"], **host).code == 0 and (tmp_path / "sent").exists()
    (tmp_path / "sent").unlink()
    said = submit(home, path, options=["--dry", "--yes"], **host)
    assert said.code == 0 and "it would be refused: " in said.out and "submitted before" not in said.err
    assert len(submits(home)) == 1 and not (tmp_path / "sent").exists()
    path.write_text("id,label\n", encoding="utf-8")
    assert submit(home, path, options=["--dry"]).code == 2


def test_a_file_that_was_edited_by_hand_gets_a_warning(home, tmp_path):
    path = csv_of(home)
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-2] + ("1" if text[-2] != "1" else "2") + "\n", encoding="utf-8")
    said = submit(home, path, options=["--yes"], command=f"'{script(tmp_path, 'true')} {{file}}'")
    assert said.code == 0 and "was edited after it was written" in said.out
    assert "P(better" in said.out


def test_none_left_and_the_same_bytes_again(home, tmp_path):
    path, send = csv_of(home), script(tmp_path, "echo taken")
    host = {"command": f"'{send} {{file}}'", "per_day": 2}
    for n in range(2):
        said = submit(home, path, options=["--yes"], **host)
        assert said.code == 0 and ("submitted before" in said.out) == (n == 1)
    said = submit(home, path, options=["--yes"], **host)
    assert said.code == 2 and "none of today's 2 submissions is left" in said.err
    assert said.err.count(path.stem) == 2 and "taken" not in said.out and len(submits(home)) == 2
    host.pop("per_day")
    assert "submissions today: 3" in submit(home, path, options=["--yes"], **host).out


def test_an_outside_file_gets_an_entry_and_no_probability(home, tmp_path):
    theirs = tmp_path / "kernel.csv"
    shutil.copy(csv_of(home, "tiny_cnn"), theirs)
    said = submit(home, theirs, options=["--yes"], command=f"'{script(tmp_path, 'true')} {{file}}'")
    assert said.code == 0 and ledger(home)["kernel"]["kind"] == "outside"
    assert "unknown, because kernel has no out-of-fold predictions (not made here)" in said.out


def test_failures_are_reported_and_not_counted(home, tmp_path, monkeypatch):
    path = csv_of(home)

    def said_by(**host):
        found = submit(home, path, options=["--yes"], **host)
        assert found.code == 2 and not submits(home), found.out
        return found.err

    assert "no way to submit is set" in said_by()
    assert "kaggle: no such command" in said_by(kaggle="pets") and "pip install kaggle" in said_by(
        kaggle="pets"
    )
    assert "no such command" in said_by(command="'/nowhere/send {file}'")
    broken = script(tmp_path, "echo quota exceeded; exit 3")
    assert "failed with exit code 3" in said_by(command=f"'{broken} {{file}}'")
    broken.chmod(0o644)
    assert "not executable" in said_by(command=f"'{broken} {{file}}'")
    # The Kaggle client ends without an error when the competition is not there.
    script(tmp_path / "bin", "echo 'Could not find competition - please verify'", "kaggle")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert "printed 'Could not find competition'" in said_by(kaggle="pets")
    rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(rows[:-1]), encoding="utf-8")
    assert "1 id missing" in said_by(kaggle="pets")


def test_the_kaggle_client_gets_its_words_and_a_stopped_submit_counts(home, tmp_path, monkeypatch):
    script(tmp_path / "bin", 'echo "$@"; echo Successfully submitted to Pets', "kaggle")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    path = csv_of(home)
    said = submit(home, path, options=["--yes", "--message=m"], kaggle="pets")
    assert said.code == 0 and f"competitions submit -c pets -f {path} -m m" in said.out
    stop = script(tmp_path, "kill -INT $PPID; sleep 1")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in tests started by `… &`
    said = submit(home, path, options=["--yes"], command=f"'{stop} {{file}}'", per_day=2)
    assert said.code == 130 and "it is counted" in said.out
    assert [",unknown," in line for line in sorted(submits(home), key=lambda line: "unknown" in line)] == [
        False,
        True,
    ]
    assert "none of today's 2" in submit(home, path, options=["--yes"], kaggle="pets", per_day=2).err


# make reproduce


def reproduce(home, file, *words, options=()):
    return run(home, "reproduce", *words, small=RUNTIME, options=[f"--file={file}", *options])


def edited(path, change):
    """Change a submission's provenance."""
    beside = path.with_suffix(".json")
    known = json.loads(beside.read_text(encoding="utf-8"))
    change(known)
    beside.write_text(json.dumps(known), encoding="utf-8")


def test_provenance_holds_everything_behind_a_submission(made):
    known = json.loads(csv_of(made).with_suffix(".json").read_text(encoding="utf-8"))
    assert set(known["members"]) == {"tiny_cnn", "tiny_resnet"}
    for member in known["members"].values():
        assert member["artifact"] in known["chain"] and 0 <= member["weight"] <= 1
        assert member["settings"]["train"]["epochs"] == 1
        assert {"config.yaml", "competition/digits.yaml"} < set(member["request"]["files"])
    assert set(known["chain"]) == {f"{a.stage}/{a.key}" for a in artifacts(made) if a.stage != "cost"}
    assert known["digests"].keys() >= {"oof.npz", "test.npz", "blend.json"}
    assert {"git", "versions", "hardware", "profile"} == set(known["machines"][0])


def test_built_again_from_nothing_the_bytes_are_equal(home):
    path = csv_of(home, "tiny_resnet")
    said = reproduce(home, path, options=["--scratch"])
    assert said.code == 0, said.err + said.out
    assert f"reproduced: {path.stem}: equal keys, the bytes are equal" in said.out
    assert "12 of 12 results were built again, 0 were reused" in said.out
    made = home / "work" / "reproduce" / path.stem
    assert (made / path.name).read_bytes() == path.read_bytes() and not (made / "artifacts").exists()


def test_existing_results_are_reused_and_another_home_builds_them(home, tmp_path):
    path = csv_of(home)
    before = {a.key for a in artifacts(home)}
    said = reproduce(home, path.stem)
    assert said.code == 0 and "0 of 18 results were built again, 18 were reused" in said.out
    assert {a.key for a in artifacts(home)} == before
    for artifact in artifacts(home):
        if artifact.stage in ("infer", "ensemble"):
            shutil.rmtree(artifact.folder)
    said = reproduce(home, path.stem)
    assert said.code == 0 and "3 of 18 results were built again, 15 were reused" in said.out
    assert "reproduced: " in said.out
    path.unlink()
    assert "the bytes are equal" in reproduce(home, path).out, "the digest is enough"


def test_changed_code_is_reported_by_stage_and_can_be_rebuilt_anyway(home, monkeypatch):
    path = csv_of(home)
    made_by = CATALOGUE.stages["ensemble"].version
    newer = dataclasses.replace(CATALOGUE.stages["ensemble"], version=99)
    monkeypatch.setitem(CATALOGUE.stages, "ensemble", newer)
    said = reproduce(home, path)
    assert said.code == 2 and "NOT reproduced" in said.err and "git checkout" in said.err
    assert f"the code of stage ensemble has changed: version {made_by} → 99 (in ensemble)" in said.err
    said = reproduce(home, path, options=["--anyway"])
    assert said.code == 0 and "other keys, the bytes are equal" in said.out


def test_settings_that_the_current_code_reads_differently_are_named(home):
    path = csv_of(home, "tiny_resnet")

    def other(known):
        text = known["request"]["files"]["experiment/tiny_resnet.yaml"]
        known["request"]["files"]["experiment/tiny_resnet.yaml"] = text.replace("lr: 0.003", "lr: 0.1")

    edited(path, other)
    said = reproduce(home, path)
    assert said.code == 2 and "stage fold reads other settings in train (in infer/fold0" in said.err
    edited(path, lambda known: known["request"]["values"].append(["train.no_such", 1]))
    said = reproduce(home, path)
    assert said.code == 2 and "rejects the recorded settings" in said.err and "train.no_such" in said.err


@pytest.mark.slow
def test_settings_files_that_changed_since_are_reported_and_not_used(tmp_path):
    folder, home = tmp_path / "configs", tmp_path / "home"
    shutil.copytree(CONFIGS, folder)
    words = ["competition=digits", "experiment=tiny_resnet", "competition.demo.limit=100", "images.size=16"]
    words += ["folds.n=2", "statistics.draws=100", *RUNTIME, "runtime.threads=1", f"runtime.home={home}"]
    mine = folder / "experiment" / "tiny_resnet.yaml"
    mine.write_text(mine.read_text(encoding="utf-8").replace("epochs: 4", "epochs: 1"), encoding="utf-8")

    def typed(*command):
        options = parser().parse_args([*command, *(words if command[0] == "infer" else words[-3:])])
        cli.run(options, load(options.settings, folder))

    typed("infer")
    path = csv_of(home, "tiny_resnet")
    mine.write_text(mine.read_text(encoding="utf-8").replace("epochs: 1", "epochs: 2"), encoding="utf-8")
    said = []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "say", lambda self, text: said.append(text))
        typed("reproduce", f"--file={path}")
    told = next(line for line in said if "changed after it was written" in line)
    assert "configs/experiment/tiny_resnet.yaml changed after it was written (train.epochs: 1 → 2)" in told
    assert "the recorded settings are used" in told and "the bytes are equal" in said[-2]


def test_other_bytes_are_judged_by_the_hardware_profile(home):
    path = csv_of(home)
    rows = path.read_text(encoding="utf-8").splitlines()
    rows[1] = rows[1][:-1] + str((int(rows[1][-1]) + 1) % 10)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    from pipeline.record.files import sha256_file

    edited(path, lambda known: known.update(csv_sha256=sha256_file(path)))
    said = reproduce(home, path)
    assert said.code == 2 and "the bytes differ, on the same hardware profile" in said.err
    assert "answers agree on 98.00%" in said.err and "then: " in said.err and "now: " in said.err

    def elsewhere(known):
        for made in known["machines"]:
            made["profile"]["device"] = "another one"

    edited(path, elsewhere)
    said = reproduce(home, path)
    assert said.code == 2 and "at least 99% and at most 0.02" in said.err
    said = reproduce(home, path, "reproduce.agreement=0.95")
    assert said.code == 0 and "\nwithin tolerance: " in said.out


def test_submissions_that_cannot_be_rebuilt_are_reported(home, tmp_path):
    path = csv_of(home)
    assert "train.epochs would change them" in reproduce(home, path, "train.epochs=3").err
    assert "no such submission" in reproduce(home, "nothing").err
    outside = tmp_path / "theirs.csv"
    shutil.copy(path, outside)
    assert "no provenance beside it" in reproduce(home, outside).err
    edited(path, lambda known: known.pop("version"))
    assert "it lacks what a rebuild needs" in reproduce(home, path).err


@pytest.mark.slow
def test_a_blend_of_auto_members_is_rebuilt_from_the_same_members(home):
    small = [*READ_BY_EDA, "statistics.draws=100", "runtime.threads=1"]
    assert run(home, "ensemble", "ensemble.members=[auto]", small=small).code == 0
    auto = next(
        p
        for p in (home / "submissions").glob("digits-ensemble-*.csv")
        if json.loads(p.with_suffix(".json").read_text(encoding="utf-8"))["manifest"]["config"]["ensemble"][
            "members"
        ]
        == ["auto"]
    )
    assert run(home, "infer", "experiment=tiny_resnet", "train.seed=5").code == 0
    for options in ((), ["--scratch"]):
        said = reproduce(home, auto, options=options)
        assert said.code == 0, said.err + said.out
        assert "equal keys, the bytes are equal" in said.out
