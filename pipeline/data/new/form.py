"""The host's form: the format of answers that the sample proves, and what only a person can say.

Owns the format, the host's words and columns, and the guess of the metric. Does not own reading the sample
(`data/new/asked.py`), the label (`data/new/label.py`) nor writing submissions (`data/host_format.py`).

No value may be written that is foreign to the sample. What the sample does not prove is a guess and is called
one; where a wrong guess would be scored without a word, the format stays open and the user is asked.

    the sample has                                a submission has
    one column, answers of the label              the most probable class, written as the sample writes it
    one column of numbers, and two classes        the probability of one class (`submission.positive`)
    a column for each class or label              a probability for each; with zeros and ones 0 and 1
    joined values, such as `neutral_male`         the same, with that separator and order
    several classes in a cell                     the `k` most probable classes
    words of labels in a cell                     the words of the labels that hold
    a row for each image and answer               the same rows (`long_id`, `long_column`)
    numbers, where another table pairs words      the numbers
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import DataError
from pipeline.core.language import _, joined
from pipeline.core.tables import DECIMAL_COMMA, Table, read_table
from pipeline.data import texts
from pipeline.data.new import kinds, words
from pipeline.data.new.asked import Asked
from pipeline.data.new.choices import Choice, Form
from pipeline.data.new.columns import decimal, numeric
from pipeline.data.new.request import scalar
from pipeline.data.new.target import Label
from pipeline.data.paths import nfc

STEEP = 1.5
RANK_SEPARATORS = (" ", "|", ";", ",")
# With more classes an answer than this, MAP@5 is likelier than MAP@3.
LEAST_OF_FIVE = 3
# Tables beside the sample that may hold the host's numbers of the classes.
MOST_TABLES, MOST_BYTES = 20, 2_000_000


@dataclass(frozen=True)
class Beside:
    """Tables beside the sample that may hold the host's numbers of the classes.

    Args:
        folders: where they lie.
        encoding: of tables that are not UTF-8; None: found.
    """

    folders: Sequence[Path]
    encoding: str | None = None

    def tables(self) -> Iterator[tuple[Path, Table]]:
        """Each small table that can be read."""
        files = [p for folder in dict.fromkeys(self.folders) for p in sorted(folder.glob("*.csv"))]
        for path in files[:MOST_TABLES]:
            if path.stat().st_size > MOST_BYTES:
                continue
            try:
                yield path, read_table(path, encoding=self.encoding)
            except DataError:
                continue


def decide(asked: Asked, label: Label, names: Sequence[str], beside: Beside) -> Form:
    """The format that fits both the sample and the label.

    Args:
        asked: the host's sample.
        label: the label of the training table, or of a folder per class.
        names: the names of the attributes in the settings, in the order of the label's.
        beside: tables that may hold the host's numbers of the classes.

    Raises:
        DataError: the sample asks for a kind of answer that cannot be written.
    """
    if len(asked.answers) > 1:
        return _columns(asked, label, names, beside)
    attribute = names[0]
    (answer,) = asked.answers
    cells = asked.cells(answer)
    where = _("{table}: column `{answer}`").format(table=asked.table.name, answer=answer)
    if kind := kinds.pixels_or_boxes(answer, cells):
        kinds.refuse(kind, where, texts.CELL.format(cell=next(iter(sorted(cells)), "")))
    if held := kinds.structured(cells - set(label.classes)):
        kinds.refuse(held[0], where, texts.CELL.format(cell=held[1]))
    if len(label.values) > 1:
        return _joined(label, answer, cells)
    kind, example = kinds.several_answers(cells, label.classes)
    ranks = _ranks(kind, example, cells, label, answer)
    if (
        kind
        and not ranks
        and all(DECIMAL_COMMA.fullmatch(cell) for cell in cells if "," in cell)
        and "," in example
    ):
        raise DataError(texts.COMMA_OR_LIST.format(where=where, cell=example), remedy=texts.COMMA_REMEDY)
    if ranks is not None:
        return ranks
    if kind:
        kinds.refuse("several_of_one", where, texts.CELL.format(cell=example))
    if len(label.classes) == 2 and (form := _one_probability(label.classes, answer, cells)):
        return form
    ids = {nfc(v) for v in asked.table.column(asked.id_column)}
    return _class(label, answer, (cells, ids), attribute, where, beside)


def _ranks(kind: str, example: str, cells: set[str], label: Label, answer: str) -> Form | None:
    """Several classes an answer, the most probable one first, or a class with its confidence; None if not.

    The separator must be in no class, or words could not be told apart.
    """
    if not kind:
        return None
    between = next((s for s in RANK_SEPARATORS if s in example), " ")
    if any(between in value for value in label.classes) or (between == "," and decimal_comma(cells)):
        return None
    confidence = kind == "confidence"
    longest = max(len(cell.split(between)) for cell in cells)
    k = max(longest // 2, 1) if confidence else longest
    settings: dict[str, Any] = {"k": k}
    settings |= {"confidence": True} if confidence else {}
    settings |= {"separator": between} if between != " " else {}
    why = texts.SAMPLE_CONFIDENCE if confidence else texts.SAMPLE_RANKS.format(k=k, cell=example)
    return Form("top_k", why, answer, settings)


def decimal_comma(cells: Collection[str]) -> bool:
    """Whether every comma may be that of a number."""
    return all(DECIMAL_COMMA.fullmatch(cell) for cell in cells if "," in cell)


def _columns(asked: Asked, label: Label, names: Sequence[str], beside: Beside) -> Form:
    """Several answer columns: a probability for each class, or a value for each attribute."""
    where = _("{table}: it asks for {some}").format(table=asked.table.name, some=words.some(asked.answers))
    if len(label.values) > 1:
        if len(label.names) != len(asked.answers):
            kinds.refuse("answers", where, texts.OTHER_COLUMNS.format(columns=", ".join(label.names)))
        return _attributes(asked, label, names, beside)
    named = words.columns_for(label.classes, asked.answers)
    if named is None and len(asked.answers) == len(label.classes):
        text = texts.QUESTION_COLUMNS.format(
            columns=words.some(asked.answers), values=words.some(label.classes)
        )
        given = dict.fromkeys(label.classes, texts.TO_FILL)
        meaning = texts.CHOICE_COLUMNS.format(columns=words.some(asked.answers))
        columns = meaning, {"format": "probabilities", "columns": given}
        return Form(None, texts.OPEN, question=text, trial=_TRIAL, choices=(columns,))
    if named is None:
        kinds.refuse("answers", where, texts.OTHER_CLASSES.format(values=words.some(label.classes)))
    over = [a for a in asked.answers if a not in named.values()]
    if over:
        kinds.refuse(
            "answers", where, texts.UNFILLED.format(table=texts.TRAINING_DATA, columns=", ".join(over))
        )
    renamed = {v: c for v, c in named.items() if v != c}
    return Form("probabilities", texts.COLUMN_PER_CLASS, settings={"columns": named} if renamed else {})


def _attributes(asked: Asked, label: Label, names: Sequence[str], beside: Beside) -> Form:
    given: dict[str, list[str]] = {}
    placeholders: list[str] = []
    unclear: dict[str, str] = {}
    for name, values, answer in zip(names, label.values, asked.answers, strict=True):
        cells = asked.cells(answer)
        where = _("{table}: column `{answer}`").format(table=asked.table.name, answer=answer)
        written = words.as_in(values, cells)
        if decimal(cells):
            kinds.refuse("number_each", where, texts.CELL.format(cell=sorted(cells)[0]))
        if written is None and not _placeholder(cells, values):
            raise DataError(
                _("{where}: its answers ({cells}) are not values of `{name}` ({values})").format(
                    where=where, cells=words.some(sorted(cells)), name=name, values=words.some(values)
                ),
                remedy=texts.NOT_YET_REMEDY,
            )
        mapped = _mapped(values, cells, beside) if written is None else None
        if mapped is not None:
            given[name] = mapped[1]
        elif written is None and numeric(values):
            placeholders.append(f"`{answer}` = {min(cells)}")
        elif written is None:
            unclear[name] = texts.WORDS_UNCLEAR.format(
                column=answer, cells=min(cells), values=words.some(values)
            )
        elif written != list(values):
            given[name] = written
    renamed = {n: a for n, a in zip(names, asked.answers, strict=True) if n != a}
    settings: dict[str, Any] = {"columns": renamed} if renamed else {}
    settings |= {"words": given} if given else {}
    why = texts.COLUMN_PER_ATTRIBUTE
    if unclear:
        question = texts.QUESTION_ATTRIBUTES.format(columns=joined("; ", unclear.values()))
        return Form(
            None,
            texts.OPEN,
            question=question,
            trial=_TRIAL,
            choices=_words_of_each(dict(zip(names, label.values, strict=True)), settings, unclear),
        )
    if placeholders:
        why = texts.ATTRIBUTE_PLACEHOLDER.format(why=why, cells=words.some(placeholders))
    return Form("attributes", why, settings=settings)


def _words_of_each(
    values_of: Mapping[str, Sequence[str]], settings: dict[str, Any], unclear: Collection[str]
) -> tuple[Choice, ...]:
    """The label's values as they are, or the host's words where the sample leaves them unclear."""
    asked = {name: v for name, v in values_of.items() if name in unclear}
    given = settings.get("words", {}) | {name: [texts.TO_FILL] * len(v) for name, v in asked.items()}
    listed = texts.CHOICE_WORDS.format(values="; ".join(", ".join(values) for values in asked.values()))
    return (
        (texts.CHOICE_AS_THEY_ARE, {**settings, "format": "attributes"}),
        (listed, {**settings, "format": "attributes", "words": given}),
    )


def _joined(label: Label, answer: str, cells: set[str]) -> Form:
    if label.separator is None:
        text = texts.QUESTION_PRODUCT.format(
            column=answer, cells=words.some(sorted(cells)), columns=", ".join(label.names)
        )
        index = texts.CHOICE_INDEX.format(columns=", ".join(label.names))
        joined = {"format": "class_name", "separator": texts.TO_FILL}
        choices = ((index, {"format": "class_index"}), (texts.CHOICE_JOINED, joined))
        return Form(None, texts.OPEN, answer, question=text, trial=_TRIAL, choices=choices)
    why = texts.JOINED.format(separator=label.separator)
    return Form("class_name", why, answer, {"separator": label.separator})


def _one_probability(values: Sequence[str], answer: str, cells: set[str]) -> Form | None:
    """One probability, if two classes meet a column of numbers that are no hard labels."""
    labels = words.as_in(values, cells)
    hard = labels is not None and (len(cells) == 2 or not numeric(cells))
    if not numeric(cells) or hard:
        return None
    if any(not 0 <= float(c) <= 1 for c in cells):
        return None
    why = texts.PROBABILITY if decimal(cells) else texts.PROBABILITY_GUESS
    chosen = words.positive(values, answer)
    if chosen is not None:
        return Form("probability", why, answer, {"positive": [chosen]})
    choices = joined(texts.OR, (f"competition.submission.positive={scalar([v])}" for v in values))
    question = texts.QUESTION_POSITIVE.format(column=answer, values=joined(texts.OR, values), choices=choices)
    trial = (*_TRIAL, "competition.submission.positive=null", "competition.metric=accuracy")
    meant: list[Choice] = [
        (texts.CHOICE_POSITIVE.format(value=v), {"format": "probability", "positive": [v]}) for v in values
    ]
    meant.append((texts.CHOICE_HARD, {"format": "class_name"}))
    return Form("probability", why, answer, {"positive": None}, question, trial, tuple(meant))


_TRIAL = ("competition.submission.format=class_index",)


def _class(
    label: Label, answer: str, seen: tuple[set[str], set[str]], attribute: str, where: str, beside: Beside
) -> Form:
    """The most probable class, in the sample's words; `seen` are its answers and its ids."""
    cells, ids = seen
    values = label.classes
    if not cells:
        return Form("class_name", texts.SAMPLE_BLANK, answer)
    written = words.as_in(values, cells)
    if written == list(values):
        return Form("class_name", texts.SAMPLE_VALUES, answer)
    if written is not None:
        return Form("class_name", texts.SAMPLE_WORDS, answer, {"words": {attribute: written}})
    found = words.some(sorted(cells))
    if ids >= cells and not numeric(cells):
        kinds.refuse("images", where, texts.CELL.format(cell=min(cells)))
    if decimal(cells):
        kinds.refuse("one_number", where, texts.ONE_NUMBER.format(cells=found, values=words.some(values)))
    if mapped := _mapped(values, cells, beside):
        name, host_words = mapped
        return Form(
            "class_name", texts.SAMPLE_MAP.format(table=name), answer, {"words": {attribute: host_words}}
        )
    # Where the label holds words, a number may be a placeholder as well as the number of a class.
    if numeric(values) and _placeholder(cells, values):
        why = texts.SAMPLE_PLACEHOLDER.format(cell=found)
        return Form("class_name", why, answer)
    text = texts.QUESTION_WORDS.format(column=answer, cells=found, values=words.some(values))
    return Form(
        None, texts.OPEN, answer, question=text, trial=_TRIAL, choices=_answers(values, cells, attribute)
    )


def _placeholder(cells: set[str], values: Sequence[str]) -> bool:
    """Whether the sample's only answer is a number that means nothing: 0, -1, or one between the classes.

    Any other one, such as 50 beside `no` and `yes`, may be a percentage or a code of the host's.
    """
    if len(cells) != 1 or not numeric(cells):
        return False
    given = float(next(iter(cells)))
    known = [float(v) for v in values] if numeric(values) else []
    return given in (0, -1) or (bool(known) and min(known) <= given <= max(known))


def _answers(values: Sequence[str], cells: set[str], attribute: str) -> tuple[Choice, ...]:
    """What a column of words that are no classes may ask for."""
    given = {attribute: [texts.TO_FILL] * len(values)}
    listed = texts.CHOICE_WORDS.format(values=", ".join(values))
    choices: list[Choice] = [
        (texts.CHOICE_AS_THEY_ARE, {"format": "class_name"}),
        (listed, {"format": "class_name", "words": given}),
    ]
    if numeric(cells) and all(0 <= float(c) <= 1 for c in cells):
        meant = [v for v in values if not words.denies(v)]
        # Where no name denies, all but the first: the class without a finding usually comes first.
        positive = meant if len(meant) < len(values) else list(values[1:])
        choices.append((texts.CHOICE_ANY_OF, {"format": "probability", "positive": positive}))
    return tuple(choices)


def _mapped(values: Sequence[str], cells: set[str], beside: Beside) -> tuple[str, list[str]] | None:
    """(table, the host's word of each value), if one table beside the sample pairs both one to one."""
    found = []
    for path, table in beside.tables():
        by_column = {c: [nfc(v) for v in table.column(c)] for c in table.columns}
        of_values = [c for c in table.columns if set(values) == set(by_column[c])]
        of_cells = [c for c in table.columns if cells <= set(by_column[c])]
        for own in of_values:
            for host in of_cells:
                pairs = set(zip(by_column[own], by_column[host], strict=True))
                if len(pairs) == len(values) == len({b for _, b in pairs}):
                    at = dict(pairs)
                    found.append((path.name, [at[v] for v in values]))
    different = {tuple(w) for _, w in found}
    return found[0] if len(different) == 1 else None


def metric(form: str | None, label: Label, steep: float, k: int = 0) -> tuple[str, str]:
    """(metric, reason): always a guess, because no file says how a host scores.

    Args:
        form: the submission's format.
        k: classes an answer, for format=top_k; 0: each has its confidence.
        label: whose name tells grades.
        steep: images of the largest class / of the smallest.
    """
    if form == "top_k":
        ranked = "map@5" if k > LEAST_OF_FIVE else "map@3"
        return (ranked if k > 1 else "accuracy" if k else "gap"), texts.METRIC_RANKS
    if form == "probability":
        return "auc", texts.METRIC_PROBABILITY
    if form == "probabilities":
        return "log_loss", texts.METRIC_PROBABILITIES
    if len(label.values) == 1 and kinds.grades(label.names[0], label.classes):
        return "qwk", texts.METRIC_GRADES
    if steep >= STEEP:
        return "macro_f1", texts.METRIC_IMBALANCED.format(ratio=steep)
    return "accuracy", texts.METRIC_BALANCED.format(ratio=steep)
