"""`make help` lists every target, in the language of its reader."""

import re
from pathlib import Path

from pipeline.cli import COMMANDS
from pipeline.help import lines

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_target_of_the_makefile_is_listed_once():
    names = [line.split()[0] for line in lines()[1:]]
    makefile = (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY:((?:.*\\\n)*.*)", makefile, re.MULTILINE)[1]
    assert sorted(names) == sorted(set(phony.replace("\\", " ").split()) - {"env"})


def test_commands_show_what_they_do_and_how_their_variables_are_given():
    told = {line.split()[0]: line for line in lines()}
    for command in COMMANDS:
        assert command.help in told[command.name] and command.make in told[command.name]


def test_the_whole_list_is_in_the_language_of_its_reader():
    _, *rows = lines("ko")
    assert len(rows) == len(lines()) - 1
    assert [row for row in rows if not re.search("[가-힣]", row)] == []
    train = next(row for row in rows if row.split()[0] == "train")
    assert 'ARGS="experiment=small_cnn", 또는 NAME=large' in train, "variables as they are typed"
