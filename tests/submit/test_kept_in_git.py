"""Git keeps what a team merges, ignores the rest of submissions/, and merges the lines of two people."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
KEPT = (
    *("README.md", "leaderboard.csv", "submits.csv", "advice.jsonl", "pins.txt", "pets-ensemble-3fa29b.json"),
    "verdicts/pets.csv",
)
IGNORED = (
    *("pets-ensemble-3fa29b.csv", ".leaderboard.csv.lock", ".leaderboard.csv.17.tmp", ".x.json.17.tmp"),
    *("other/file.csv", "verdicts/.pets.csv.17.tmp"),
)


def git(folder, *words, check=True):
    name = (
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=main",
    )
    return subprocess.run(["git", *name, *words], cwd=folder, capture_output=True, text=True, check=check)


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    for name in (".gitignore", ".gitattributes"):
        shutil.copy(CHECKOUT / name, tmp_path / name)
    for name in (*KEPT, *IGNORED):
        path = tmp_path / "submissions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("header\nfirst\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "all")
    return tmp_path


def test_records_are_kept_and_files_to_hand_in_are_not(repository):
    listed = git(repository, "ls-files", "submissions").stdout.split()
    assert sorted(listed) == sorted(f"submissions/{name}" for name in KEPT)


@pytest.mark.parametrize(
    "name", ["leaderboard.csv", "submits.csv", "advice.jsonl", "pins.txt", "verdicts/pets.csv"]
)
def test_the_lines_of_two_people_are_merged(repository, name):
    path = repository / "submissions" / name
    git(repository, "checkout", "-qb", "theirs")
    path.write_text("header\nfirst\ntheirs\n")
    git(repository, "commit", "-qam", "theirs")
    git(repository, "checkout", "-q", "-")
    path.write_text("header\nfirst\nours\n")
    git(repository, "commit", "-qam", "ours")
    assert git(repository, "merge", "theirs", check=False).returncode == 0
    assert sorted(path.read_text().splitlines()) == ["first", "header", "ours", "theirs"]
