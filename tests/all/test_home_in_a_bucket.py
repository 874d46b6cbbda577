"""Whole commands with a home in a bucket: two machines share results and nothing else."""

import pytest
from main_world import SMALL, run

from pipeline.record import bucket as module
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.settings import current
from pipeline.settings.load import CONFIGS


def command(address, local, name, *words, options=()):
    return run(address, name, f"runtime.local={local}", *words, options=options)


def keys(said):
    return {line.split()[-1] for line in said.out.splitlines() if line.startswith(("fold", "train"))}


@pytest.mark.slow
def test_what_one_machine_trained_the_other_reuses_bit_by_bit(tmp_path):
    address = f"file://{tmp_path / 'bucket'}"
    one, two, alone = (tmp_path / name for name in ("one", "two", "alone"))
    trained = command(address, one, "train", "experiment=tiny_cnn")
    assert trained.code == 0, trained.err
    again = command(address, two, "train", "experiment=tiny_cnn")
    assert again.code == 0 and "reused" in again.out, again.err
    assert not list((tmp_path / "two" / "work").glob("fold/*"))
    for said in (
        command(address, two, "runs"),
        command(address, two, "ensemble", "ensemble.members=[tiny_cnn]"),
    ):
        assert said.code == 0 and "tiny_cnn" in said.out, said.err
    assert list((two / "submissions").glob("*.csv")) and not list((tmp_path / "bucket").glob("submissions*"))
    assert not list((tmp_path / "bucket" / "claims").glob("[!b]*")), "nothing is claimed any more"

    here = run(alone, "train", "experiment=tiny_cnn")
    assert here.code == 0
    (ours,) = Store(alone, FileIndex(alone / "i")).all("train")
    (copy,) = (two / "artifacts" / ".buckets").iterdir()
    theirs = Store(two, FileIndex(two / "i"), copy).all("train")[0]
    assert theirs.key == ours.key
    timing = ("images_per_second", "minutes")
    scores = [{k: v for k, v in a.metrics.items() if k not in timing} for a in (theirs, ours)]
    assert scores[0] == scores[1]

    freed = command(address, one, "gc")
    assert freed.code == 0 and command(address, two, "du").code == 0


@pytest.mark.parametrize(
    ("home", "why"),
    [
        ("http://bucket/x", "begins with s3://, gs://, file://"),
        ("s3://", "names no bucket"),
        ("s3://me:secret@bucket/x", "credentials and options belong in the environment"),
        ("s3://bucket/x?token=secret", "credentials and options belong in the environment"),
        ("s3://bucket/../x", "an empty part or dots"),
        ("file://x/y", "is absolute"),
    ],
)
def test_an_address_that_is_none_is_refused_without_its_credentials(tmp_path, home, why):
    said = command(home, tmp_path, "train")
    assert said.code == 2 and why in said.err and "secret" not in said.err + said.out


def test_a_bucket_that_cannot_be_used_ends_a_command_before_any_work(tmp_path):
    (tmp_path / "file").write_text("I am no folder")
    said = command(f"file://{tmp_path / 'file' / 'x'}", tmp_path / "one", "train")
    assert said.code == 2 and "cannot be written" in said.err and "Traceback" not in said.err
    assert not list(tmp_path.glob("one/artifacts/.buckets/*/fold"))


def test_a_package_that_is_missing_ends_a_command_and_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(module.SCHEMES, "gs", ("no_such_package", "gs"))
    said = command("gs://bucket/x", tmp_path, "train")
    assert said.code == 2 and "pip install 'podium[gs]'" in said.err


def test_the_current_competition_of_a_home_in_a_bucket_stands_on_the_local_side(tmp_path):
    words = ["runtime.home=s3://bucket/x", f"runtime.local={tmp_path}"]
    assert current.home_of(words, CONFIGS) == tmp_path
    assert current.home_of(words[:1], CONFIGS).as_posix() == "."


def test_the_address_of_a_bucket_is_in_no_key(tmp_path):
    from pipeline.engine.need import Need
    from pipeline.settings.load import load
    from pipeline.stages import open_session

    address = f"file://{tmp_path / 'bucket'}"
    homes = ([f"runtime.home={tmp_path}"], [f"runtime.home={address}", f"runtime.local={tmp_path}"])
    assert (
        len(
            {
                s.graph.key(Need("folds", s.settings))
                for s in (open_session(load([*SMALL, *words])) for words in homes)
            }
        )
        == 1
    )
