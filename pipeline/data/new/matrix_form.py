"""The host's form for labels that hold together, values and shares: what the sample proves, and what it asks.

Owns their formats and the guess of their metric. Does not own exclusive classes (`data/new/form.py`), the
label (`data/new/target.py`) nor writing submissions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.core.tables import number_in
from pipeline.data import texts
from pipeline.data.layouts import ONE_HOT
from pipeline.data.matrix_truth import listed
from pipeline.data.new import kinds, target, words
from pipeline.data.new.asked import Asked
from pipeline.data.new.choices import Choice, Form
from pipeline.data.new.columns import decimal, numeric
from pipeline.data.new.target import Label

# Separators of words in a cell, for cells of the sample that hold several.
SEPARATORS = (" ", "|", ";", ",")


def decide(asked: Asked, label: Label, names: Sequence[str]) -> Form:
    """The format that fits both the sample and a label that is no exclusive class.

    Args:
        asked: the host's sample.
        label: of the training table.
        names: the names of the attributes in the settings, in the order of the label's.

    Raises:
        DataError: the sample asks for answers that nothing in the label fills.
    """
    if label.target == "shares":
        return _shares(asked, label)
    if label.target == "values":
        return _values(asked, label, names)
    if label.levels or len(asked.answers) > 1 or asked.long:
        return _label_columns(asked, label, names)
    return _words(asked, label, names)


def without_sample(label: Label) -> Form:
    """The format where the host gives no sample."""
    form = {"labels": "probabilities", "values": "values", "shares": "probabilities"}[label.target]
    return Form(form, texts.READABLE)


def metric(form: str | None, label: Label) -> tuple[str, str]:
    """(metric, reason): always a guess, because no file says how a host scores."""
    if label.target == "values":
        return "rmse", texts.METRIC_VALUES
    if label.target == "shares":
        return "kl", texts.METRIC_SHARES
    if form == "words":
        return "samples_f1", texts.METRIC_WORDS
    if form == "attributes":
        return "macro_f1", texts.METRIC_LABELS
    return ("log_loss", texts.METRIC_LEVELS) if label.levels else ("auc", texts.METRIC_LABEL_PROBABILITIES)


def _where(asked: Asked) -> str:
    return _("{table}: it asks for {some}").format(table=asked.table.name, some=words.some(asked.answers))


def _renamed(own: Sequence[str], host: Sequence[str]) -> dict[str, Any]:
    """The setting `columns`, if any of the host's names differs."""
    named = dict(zip(own, host, strict=True))
    return {"columns": named} if any(a != b for a, b in named.items()) else {}


def _shares(asked: Asked, label: Label) -> Form:
    named = words.columns_for(label.values[0], asked.answers)
    if named is None or len(named) < len(asked.answers):
        kinds.refuse("answers", _where(asked), texts.OTHER_CLASSES.format(values=words.some(label.values[0])))
    renamed = _renamed(list(named), list(named.values()))
    sample = [asked.table.column(answer) for answer in asked.answers]
    if label.total == 1 or target.sum_to(sample, 1):
        return Form("probabilities", texts.COLUMN_PER_SHARE, settings=renamed)
    total = {"total": label.total}
    if target.sum_to(sample, label.total):
        return Form("probabilities", texts.SHARES_TOTAL.format(**total), settings={**renamed, **total})
    shown = min(set().union(*map(asked.cells, asked.answers)), default=texts.NOTHING)
    question = texts.QUESTION_TOTAL.format(columns=words.some(asked.answers), cell=shown, **total)
    meant: list[Choice] = [
        (texts.CHOICE_TOTAL.format(**total), {"format": "probabilities", **renamed, **total}),
        (texts.CHOICE_ONE, {"format": "probabilities", **renamed}),
    ]
    trial = ("competition.submission.format=probabilities",)
    return Form(None, texts.OPEN, question=question, trial=trial, choices=tuple(meant), settings=renamed)


def _values(asked: Asked, label: Label, names: Sequence[str]) -> Form:
    odd = [a for a in asked.answers if (cells := asked.cells(a)) and not numeric(cells)]
    if odd:
        cell = min(asked.cells(odd[0]))
        raise DataError(
            texts.VALUE_AS_WORD.format(table=asked.table.name, column=odd[0], cell=cell),
            remedy=texts.VALUE_AS_WORD_REMEDY,
        )
    if len(label.names) == len(asked.answers) == 1 and not asked.long:
        return Form("values", texts.SAMPLE_NUMBER, asked.answers[0])
    host = _for_names(asked, label)
    return Form("values", texts.COLUMN_PER_VALUE, settings=_renamed(names, host))


def _for_names(asked: Asked, label: Label) -> list[str]:
    """The sample's answer for each of the label's names.

    Raises:
        DataError: names and answers differ.
    """
    found = words.columns_for(label.names, asked.answers)
    if found is None and len(label.names) == len(asked.answers) == 1:
        found = {label.names[0]: asked.answers[0]}
    if found is None or len(asked.answers) != len(label.names):
        kinds.refuse("answers", _where(asked), texts.OTHER_COLUMNS.format(columns=words.some(label.names)))
    return [found[name] for name in label.names]


def _label_columns(asked: Asked, label: Label, names: Sequence[str]) -> Form:
    """A column for each label, or for each level of it."""
    if any(label.blocks) and not asked.long:
        return _columns_of_blocks(asked, label, names)
    values = dict(zip(label.names, label.values, strict=True))
    levels = words.levels_for(values, asked.answers) if label.levels else None
    if levels is not None:
        given = dict(zip(label.names, names, strict=True))
        by_pair = {pair: answer for answer, pair in levels.items()}
        columns = {
            f"{given[name]} · {value}": by_pair[name, value]
            for name, known in values.items()
            for value in known
        }
        return Form("probabilities", texts.COLUMN_PER_LEVEL, settings={"columns": columns})
    host = _for_names(asked, label)
    renamed = _renamed(names, host)
    cells = [asked.cells(answer) for answer in host]
    if label.levels:
        return _words_of_levels(asked, label, host, cells, renamed, names)
    everything = set().union(*cells)
    if decimal(everything) or any("." in cell for cell in everything if number_in(cell) is not None):
        return Form("probabilities", texts.LABEL_PROBABILITIES, settings=renamed)
    hard = {"format": "attributes", **renamed, **_hard_words(everything, label, names)}
    if numeric(everything) and {number_in(cell) for cell in everything} in ({0, 1}, {-1, 1}):
        return Form("attributes", texts.LABEL_HARD, settings={k: v for k, v in hard.items() if k != "format"})
    if everything and not numeric(everything):
        return Form("attributes", texts.LABEL_HARD, settings={k: v for k, v in hard.items() if k != "format"})
    meant: list[Choice] = [
        (texts.CHOICE_LABEL_PROBABILITIES, {"format": "probabilities", **renamed}),
        (texts.CHOICE_LABEL_HARD, hard),
    ]
    shown = min(everything) if everything else texts.NOTHING
    question = texts.QUESTION_LABELS.format(columns=words.some(asked.answers), cell=shown)
    trial = ("competition.submission.format=probabilities",)
    return Form(None, texts.OPEN, question=question, trial=trial, choices=tuple(meant), settings=renamed)


def _columns_of_blocks(asked: Asked, label: Label, names: Sequence[str]) -> Form:
    """A column for each label, or for each level of it, named as those of the training table."""
    host = {own: answer for answer, own in words.named_columns(sorted(label.columns), asked.answers).items()}
    found: dict[str, str] = {}
    for name, own, values, block in zip(names, label.names, label.values, label.blocks, strict=True):
        keys = [f"{name} · {value}" for value in values] if block else [name]
        if len(block) == 2:  # its second level is the column of predictions; the first one is what is left
            keys[1] = name
        found |= {key: host[c] for key, c in zip(keys, block or (own,), strict=True) if c in host}
    wanted = {key for name, v, b in zip(names, label.values, label.blocks, strict=True)
              for key in ([f"{name} · {x}" for x in v] if len(b) > 2 else [name])}  # fmt: skip
    if len(found) < len(asked.answers) or not wanted <= found.keys():
        kinds.refuse(
            "answers", _where(asked), texts.OTHER_COLUMNS.format(columns=words.some(sorted(label.columns)))
        )
    return Form("probabilities", texts.COLUMN_PER_LEVEL, settings={"columns": found})


def _hard_words(cells: set[str], label: Label, names: Sequence[str]) -> dict[str, Any]:
    """How the sample writes that labels hold, where it is not how the training table does."""
    given, marks, plain = {}, cells & ONE_HOT.keys(), ["0", "1"]
    # A word of a cell has the values no and yes, which no host writes; an empty cell is no answer.
    unwritten = label.column or label.absent == "" or (label.absent is not None and marks == cells != set())
    for name, values in zip(names, label.values, strict=True):
        written = words.as_in(plain if unwritten else values, marks) or (plain if unwritten else list(values))
        if label.column or written != list(plain if label.absent == "" else values):
            given[name] = written
    return {"words": given} if given else {}


def _words_of_levels(
    asked: Asked,
    label: Label,
    host: Sequence[str],
    cells: Sequence[set[str]],
    renamed: dict[str, Any],
    names: Sequence[str],
) -> Form:
    """A column for each label, with the word of its level."""
    given: dict[str, list[str]] = {}
    placeholders = []
    for name, values, answer, found in zip(names, label.values, host, cells, strict=True):
        if not found:
            continue
        written = words.as_in(values, found)
        # A single number, as 0 in every row, stands for nothing where the levels have other names.
        if written is None and len(found) == 1 and (numeric(found) or asked.long):
            placeholders.append(f"`{answer}` = {min(found)}")
        elif written is None or decimal(found):
            text = texts.OTHER_LEVELS.format(
                table=asked.table.name, column=answer, cells=words.some(sorted(found))
            )
            raise DataError(f"{text} ({words.some(values)})", remedy=texts.OTHER_LEVELS_REMEDY)
        elif written != list(values):
            given[name] = written
    why = texts.LABEL_LEVEL
    if placeholders:
        why = texts.ATTRIBUTE_PLACEHOLDER.format(why=why, cells=words.some(placeholders))
    return Form("attributes", why, settings={**renamed, **({"words": given} if given else {})})


def _words(asked: Asked, label: Label, names: Sequence[str]) -> Form:
    """Labels as words of the sample's only column."""
    (answer,) = asked.answers
    cells = asked.cells(answer)
    where = _("{table}: column `{answer}`").format(table=asked.table.name, answer=answer)
    if kind := kinds.pixels_or_boxes(answer, cells):
        kinds.refuse(kind, where, texts.CELL.format(cell=min(cells, default="")))
    if in_lists := [cell for cell in sorted(cells) if listed(cell) is not None]:
        kinds.refuse("several", where, texts.CELL.format(cell=in_lists[0]))
    known = set(label.names)
    given = {name: [word] for name, word in zip(names, label.names, strict=True) if name != word}
    settings: dict[str, Any] = {"words": given} if given else {}
    empty = any(not any(ONE_HOT.get(v) for v in row) for row in zip(*label.cells, strict=True))
    fits = [s for s in SEPARATORS if cells and all(_in_words(cell, s, known) for cell in cells)]
    several = [s for s in fits if any(s in cell.strip() for cell in cells)]
    if decimal(cells):
        kinds.refuse("one_number", where, texts.CELL.format(cell=min(cells)))
    between = target.as_written(several[0], cells) if several else label.between or label.separator
    if between is None:
        # One-hot columns say nothing of how words are joined.
        shown = min(cells, default=texts.NOTHING)
        question = texts.QUESTION_SEPARATOR.format(column=answer, cell=shown, words=words.some(label.names))
        choices: tuple[Choice, ...] = tuple(
            (texts.CHOICE_SEPARATOR.format(separator=s), {"format": "words", "separator": s, **settings})
            for s in SEPARATORS
            if not any(s in word for word in known)
        )
        trial = ("competition.submission.format=probabilities",)
        return Form(None, texts.OPEN, answer, {}, question, trial, choices)
    settings |= {"separator": between} if between != " " else {}
    settings |= {"no_label": ""} if empty else {}
    if fits:
        return Form("words", texts.SAMPLE_LABEL_WORDS, answer, settings)
    if not cells or (len(cells) == 1 and numeric(cells)):
        cell = min(cells, default=texts.NOTHING)
        return Form("words", texts.SAMPLE_WORDS_PLACEHOLDER.format(cell=cell), answer, settings)
    raise DataError(
        texts.OTHER_WORDS.format(where=where, cells=words.some(sorted(cells)), words=words.some(label.names)),
        remedy=texts.OTHER_LEVELS_REMEDY,
    )


def _in_words(cell: str, separator: str, known: set[str]) -> bool:
    return {part.strip() for part in cell.split(separator) if part.strip()} <= known
