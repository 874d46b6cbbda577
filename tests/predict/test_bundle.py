"""A bundle predicts the hidden test set offline, keeps what is done, and always writes an answer."""

import csv
import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from predict_world import People

from pipeline.core.errors import ConfigError, DataError, StorageError
from pipeline.predict import bundle, clock, hidden, notebook, rehearsal
from pipeline.predict.notebook import Places
from pipeline.predict.predictor import Predictor

MEMBERS = "ensemble.members=[tiny_resnet,tiny_cnn]"


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def made(people):
    """A submission of a blend, and the folder of its predictor."""
    path = people.made("ensemble", MEMBERS)
    images = str(people.root / "images")
    out = str(people.home / "all.csv")
    people.run("predict", options=("--file", str(path), "--images", images, "--out", out))
    return path, people.home / "predictors" / path.stem


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def hidden_run(people, made, out, said=None, **more):
    sample = people.root / "sample_submission.csv"
    say = (said if said is not None else []).append
    return hidden.predict_hidden(made[1], sample, people.root / "images", out, say=say, **more)


def test_the_hosts_form_is_written_as_it_was_submitted(people, made, tmp_path):
    said = []
    told = hidden_run(people, made, tmp_path / "submission.csv", said)
    assert (tmp_path / "submission.csv").read_bytes() == made[0].read_bytes()
    assert (told.images, told.dropped, told.unanswered) == (39, (), 0)
    assert said[0].startswith("39 of 39 images") and "submission.csv: 39 images" in said[-1]


def test_with_a_table_the_files_are_those_that_it_names(people, made, tmp_path):
    out = tmp_path / "submission.csv"
    hidden_run(people, made, out, table=people.root / "test.csv")
    assert out.read_bytes() == made[0].read_bytes()


def test_a_second_run_goes_on_after_the_chunks_that_are_kept(people, made, tmp_path, monkeypatch):
    out, batch = tmp_path / "submission.csv", 16
    load = Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda where, device: load(where, device, batch=batch))
    monkeypatch.setattr(hidden, "CHUNK", batch)
    hidden_run(people, made, out)
    first = out.read_bytes()
    assert len(list((tmp_path / "partial").iterdir())) == 3
    asked = []
    one_part = Predictor.one_part
    monkeypatch.setattr(
        Predictor,
        "one_part",
        lambda self, given, part=None: asked.append(given) or one_part(self, given, part),
    )
    sorted((tmp_path / "partial").iterdir())[0].unlink()
    hidden_run(people, made, out)
    assert len(asked) == 1 and out.read_bytes() == first


def test_when_the_time_ends_the_rest_has_the_mean_prediction(people, made, tmp_path, monkeypatch):
    load = Predictor.load
    monkeypatch.setattr(Predictor, "load", lambda where, device: load(where, device, batch=16))
    monkeypatch.setattr(clock.Clock, "fits", lambda self, part, images, elapsed: False)
    said = []
    told = hidden_run(people, made, tmp_path / "submission.csv", said, limit=0.001)
    assert told.unanswered == 23 and len(told.dropped) == 3
    found = rows(tmp_path / "submission.csv")
    assert len(found) == 39 and len({tuple(list(row.values())[1:]) for row in found[16:]}) == 1
    assert "the time ended: 23 images have the mean prediction" in said
    (dropped,) = [line for line in said if line.startswith("dropped in time: ")]
    assert all(what in dropped for what in ("the view hflip of", "the view identity of", "the member "))


def test_images_that_do_not_decode_are_answered_and_named(people, made, tmp_path):
    shutil.copytree(people.root / "images", tmp_path / "images")
    (tmp_path / "images" / "024_0.png").write_bytes(b"broken")
    (tmp_path / "images" / "025_0.png").unlink()
    said, out = [], tmp_path / "submission.csv"
    told = hidden.predict_hidden(
        made[1], people.root / "sample_submission.csv", tmp_path / "images", out, say=said.append
    )
    assert [one.id for one in told.unreadable] == ["024_0", "025_0"]
    assert "2 images do not decode and were predicted as white: 024_0, 025_0" in said
    assert len(rows(out)) == 39


def test_the_notebook_is_valid_and_its_code_compiles():
    import nbformat

    record = notebook.of("9h", Places("pets", "sample.csv", "test/images", "test.csv"), "pets-ensemble")
    nbformat.validate(nbformat.from_dict(record))
    code = ["".join(cell["source"]) for cell in record["cells"] if cell["cell_type"] == "code"]
    for source in code:
        compile(source, "cell", "exec")
    assert (
        "COMPETITION / 'test/images'" in code[0] and "'9h'" in code[0] and "TABLE = COMPETITION /" in code[0]
    )


def test_wheels_are_those_of_this_environment_unless_others_are_named():
    assert [word.split("==")[0] for word in bundle.wheels_of(None)] == ["timm", "safetensors"]
    assert all("==" in word for word in bundle.wheels_of(None))
    assert [word.split("==")[0] for word in bundle.wheels_of(None, trees=True)][2:] == [
        "lightgbm",
        "narwhals",
    ]
    assert bundle.wheels_of("a==1, b") == ("a==1", "b") and bundle.wheels_of("none") == ()


SAID = {
    "nothing==1": "ERROR: Could not find a version that satisfies … nothing==1 (from versions: none)",
    "timm==99": "ERROR: Could not find a version that satisfies … timm==99 (from versions: 1.0.1, 1.0.31)",
    "slow": "WARNING: Retrying … Failed to establish a new connection: …\nERROR: … (from versions: none)",
    "a b": "ERROR: Invalid requirement: 'a b'",
}


def test_each_wheel_that_cannot_be_fetched_is_named_with_the_reason(tmp_path, monkeypatch):
    asked = []

    def pip(*words):
        asked.append(words)
        name = words[-1]
        return subprocess.CompletedProcess([], int(name in SAID), "", SAID.get(name, ""))

    monkeypatch.setattr(bundle, "pip", pip)
    with pytest.raises(StorageError) as error:
        bundle.fetch(("fine", *SAID), "3.12", tmp_path)
    assert error.value.headline == "pip could not fetch 4 wheels for Python 3.12"
    assert "WHEELS=none" in error.value.remedy
    none, version, network, other = error.value.faults
    assert none.startswith("nothing==1: no package index has a wheel of it for Python 3.12")
    assert version.endswith("of this version for Python 3.12 on Linux x86-64; the newest is 1.0.31")
    assert "pip reached no package index" in network and other == "a b: Invalid requirement: 'a b'"
    assert "manylinux_2_28_x86_64" in asked[0] and "manylinux2014_x86_64" in asked[0]


@pytest.mark.parametrize("text", ["abc", "3", "2.7", "3.10", "3.x", "4.0"])
def test_a_python_that_podium_does_not_run_with_is_refused(text):
    with pytest.raises(ConfigError, match=f"HOST_PYTHON={text}"):
        bundle.checked_python(text)


def test_a_python_is_known_by_its_minor_version():
    assert bundle.checked_python("3.12") == bundle.checked_python(" 3.12.4") == "3.12"


def test_the_answers_have_the_encoding_of_the_hosts_sample(people, made, tmp_path):
    shutil.copytree(made[1], tmp_path / "predictor")
    about = tmp_path / "predictor" / "predictor.json"
    record = json.loads(about.read_text(encoding="utf-8"))
    assert record["encoding"] == "utf-8-sig" and record["form"] == 2
    # The names of classes hold a middle dot, which CP949 has and Latin-5 has elsewhere.
    record["encoding"] = "cp949"
    about.write_text(json.dumps(record), encoding="utf-8")
    sample, out = tmp_path / "sample.csv", tmp_path / "submission.csv"
    sample.write_bytes((people.root / "sample_submission.csv").read_text(encoding="utf-8").encode("cp949"))
    hidden.predict_hidden(tmp_path, sample, people.root / "images", out, say=lambda line: None)
    assert out.read_bytes().decode("cp949") == made[0].read_text(encoding="utf-8")
    assert out.read_bytes() != made[0].read_bytes()


def test_the_guard_refuses_connections_and_names(tmp_path):
    (tmp_path / "podium_guard.py").write_text(rehearsal.GUARD, encoding="utf-8")
    code = (
        "import podium_guard, socket\n"
        "for call in (lambda: socket.create_connection(('127.0.0.1', 9), 1),\n"
        "             lambda: socket.getaddrinfo('example.org', 443)):\n"
        "    try: call()\n"
        "    except OSError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.count("the rehearsal has no network") == 2, done.stderr


def test_a_limit_is_refused_before_anything_is_made(people, made):
    found = people.run("bundle", options=("--file", str(made[0]), "--limit", "soon"), code=2)
    assert "LIMIT=soon: this is no time above 0" in found.err and not (people.home / "bundles").exists()


def test_an_installed_podium_without_sources_says_that_a_bundle_needs_them(tmp_path, monkeypatch):
    import pipeline

    monkeypatch.setattr(pipeline, "__file__", str(tmp_path / "site-packages" / "pipeline" / "__init__.py"))
    with pytest.raises(DataError, match="a bundle needs Podium's sources"):
        bundle.checkout()


@pytest.mark.slow
def test_a_bundle_is_rehearsed_in_a_fresh_environment_without_a_network(people, made):
    options = ("--file", str(made[0]), "--wheels", "none", "--limit", "1h", "--hidden", "1000")
    said = people.run("bundle", options=options)
    where = people.home / "bundles" / made[0].stem
    assert "its answers are those that were submitted, byte for byte" in said.out
    assert "expected for 1,000 images on this machine" in said.out
    (wheel,) = (where / "wheels").glob("*.whl")
    assert "pipeline/predict/hidden.py" in zipfile.ZipFile(wheel).namelist()
    assert (where / "LICENSES" / "podium-LICENSE").is_file()
    assert "| tiny_cnn |" in (where / "LICENSES" / "WEIGHTS.md").read_text(encoding="utf-8")
    assert json.loads((where / "dataset-metadata.json").read_text())["id"].startswith("INSERT_USERNAME")
    assert "rehearsal: 39 images" in (where / "README.md").read_text(encoding="utf-8")
    short = people.run("bundle", options=(*options[:-3], "5s", *options[-2:]), code=2)
    assert "LIMIT=5s is too short" in short.err
