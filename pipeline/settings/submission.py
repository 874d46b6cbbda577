"""The settings `competition.submission`: the host's format of the CSV, and how a file is handed in.

Owns the fields and their rules. Does not own the competition's data (`settings/competition.py`) nor writing
and reading files (`data/host_format.py`).
"""

import shlex
import string
from collections import Counter
from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from pipeline.core.errors import nearest
from pipeline.core.language import _
from pipeline.core.metrics import METRICS
from pipeline.core.samples import Kind
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, neutral, rule

# Placeholders of the command that submits a file.
PLACEHOLDERS = ("file", "message", "name")

Format = Literal[
    "class_index", "class_name", "probability", "probabilities", "attributes", "words", "top_k", "values"
]
# Formats that submit answers without their probabilities.
HARD = ("class_index", "class_name", "attributes", "words")
# The formats that fit each kind of target; the first is used where the settings name none.
FORMATS: dict[Kind, tuple[Format, ...]] = {
    "exclusive": ("class_index", "class_name", "probability", "probabilities", "attributes", "top_k"),
    "labels": ("probabilities", "attributes", "words"),
    "values": ("values",),
    "shares": ("probabilities",),
}
# Formats with an answer for each class, label or value, which a host may want in rows of their own.
LONG = ("probabilities", "attributes", "values")
# Metrics that need only the order of the first classes: what a file with format=top_k says.
OF_RANKS = ("map@3", "map@5", "top3", "top5")

# Path of these settings, for messages.
_HOST = "competition.submission"
UNDECIDED = _("is not decided: look at the host's rules, then set {formats}")
UNDECIDED_OF_TWO = _(
    "is not decided: look at the host's rules, then set {formats}; probability together with "
    "competition.submission.positive"
)


def _names(value: Any) -> Any:
    """A class or several as a list of text: on a command line `1` is a number, and a class all the same."""
    if value is None:
        return None
    return [str(v) if type(v) is int else v for v in (value if isinstance(value, list) else [value])]


class SubmissionSettings(Section):
    """The host's format of the CSV."""

    id_column: str = fact("id", "column of image ids")
    label_column: str = fact("label", "column of the answer, where there is only one")
    format: Format | None = fact(
        "class_index",
        "class_index: 0…C-1; class_name: its name; probability: one column, the probability of `positive`; "
        "probabilities: one column per class, label or level of a label; attributes: one column per "
        "attribute (of the most probable class) or label, with the word of its value; words: the labels that "
        "hold as words of one cell; "
        "top_k: the `k` most probable classes as words of one cell; values: one column per value; null: not "
        "known yet. "
        "Left out: probabilities for target=labels and shares, values for target=values",
    )
    positive: Annotated[list[str] | None, BeforeValidator(_names)] = fact(
        None, "for format=probability: the class whose probability is written, or several: their sum"
    )
    columns: dict[str, str] | None = fact(
        None,
        "the host's column of each attribute (format=attributes), class or level (probabilities) or value "
        "(values); in long form its name for the answer; if missing: the same name",
    )
    words: dict[str, list[str]] | None = fact(
        None,
        "for format=attributes, class_name and top_k: attribute → the host's words for its values, in their "
        'order, e.g. ["0", "1"]; left out: the values\' names. For format=words: label → the one word that '
        "says that it holds",
    )
    separator: str | None = fact(
        None,
        "what the host writes between the values of several attributes (format=class_name) or between words "
        "(words, top_k; None: a blank)",
    )
    no_label: str | None = fact_if_chosen(
        None,
        "for format=words: what is written where no label holds, e.g. an empty text; None: the most probable "
        "label, so that no answer is empty",
    )
    k: int = fact_if_chosen(5, "for format=top_k: how many classes an answer names", ge=1)
    confidence: bool = fact_if_chosen(
        False, "for format=top_k: each class is followed by its probability, with a blank between"
    )
    total: float = fact_if_chosen(
        1.0, "for target=shares: what the answers of a row sum to, e.g. 100 for percentages", gt=0
    )
    long_id: str | None = fact_if_chosen(
        None,
        "long form, a row for each image and answer: how the id of a row is written, e.g. {id}_{answer}; "
        "`columns` has the host's names of the answers",
        min_length=1,
    )
    long_column: str | None = fact_if_chosen(
        None,
        "long form with ids that repeat: the column that names the answer of a row; `label_column` holds the "
        "answer, and if the sample lacks it, all other columns are levels",
        min_length=1,
    )
    copied: list[str] = fact(
        [], "columns of the host's sample that are no answers, and are copied as they are, e.g. paths"
    )
    per_day: int | None = neutral(
        None, "submissions that the host accepts per day (UTC); None: no limit", ge=1
    )
    kaggle: str | None = neutral(None, "the competition's name in its Kaggle URL", min_length=1)
    command: str | None = neutral(
        None,
        "command that submits a file, with {file}, {message} and {name}; None: the Kaggle client of `kaggle`",
        min_length=1,
    )

    @property
    def long(self) -> bool:
        """Whether an image has a row for each answer."""
        return self.long_id is not None or self.long_column is not None


def with_format(submission: Any, target: Any) -> Any:
    """The submission's settings as given, with the first format of the target where they name none."""
    default = next((formats[0] for kind, formats in FORMATS.items() if kind == target), None)
    if default in (None, FORMATS["exclusive"][0]):
        return submission
    if isinstance(submission, SubmissionSettings) and "format" not in submission.model_fields_set:
        return submission.model_copy(update={"format": default})
    return {"format": default, **submission} if isinstance(submission, dict) else submission


def columns_of(competition: Any) -> list[str]:
    """The names of the columns of predictions, as `LabelSpace` makes them."""
    if competition.target == "labels":
        several = [(a.name, a.names or a.values) for a in competition.attributes]
        return [
            column
            for name, levels in several
            for column in ([f"{name} · {level}" for level in levels] if len(levels) > 2 else [name])
        ]
    if competition.target == "values":
        return [a.name for a in competition.attributes]
    return [" · ".join(words) for words in product(*((a.names or a.values) for a in competition.attributes))]


# With more classes nothing that has a number for each pair of classes is computed.
MOST_PAIRED = 250


def n_columns(competition: Any) -> int:
    """How many columns predictions of exclusive classes have, without naming them."""
    return prod(len(a.names or a.values) for a in competition.attributes)


@rule("competition")
def known_format(s: Sections) -> Iterator[Broken]:
    """The format is decided and fits the target; the classes whose probability is written are classes."""
    competition = s["competition"]
    submission, classes = competition.submission, columns_of(competition)
    fit = FORMATS[competition.target]
    if submission.format is None:
        yield (
            f"{_HOST}.format",
            (UNDECIDED_OF_TWO if "probability" in fit else UNDECIDED).format(formats=", ".join(fit)),
        )
    elif submission.format not in fit:
        message = _("`{format}` does not fit target={target}; choose {fit}").format(
            format=submission.format, target=competition.target, fit=" or ".join(fit)
        )
        yield f"{_HOST}.format", message
    if submission.total != 1 and competition.target != "shares":
        yield (
            f"{_HOST}.total",
            _("is for target=shares, and here it is {target}").format(target=competition.target),
        )
    some = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
    if submission.format == "probability" and not submission.positive:
        message = _("is missing: name the class whose probability the host asks for, one of {some}").format(
            some=some
        )
        yield f"{_HOST}.positive", message
    if submission.format != "probability" and submission.positive is not None:
        message = _("is used only with format=probability, and format={format}").format(
            format=submission.format
        )
        yield f"{_HOST}.positive", message
    for name in (submission.positive or []) if competition.attributes else []:
        if name not in classes:
            hint = nearest(name, classes) or _("there are: {some}").format(some=some)
            yield f"{_HOST}.positive", _("`{name}` is not a class; {hint}").format(name=name, hint=hint)
    if submission.positive and set(classes) <= set(submission.positive):
        yield f"{_HOST}.positive", _("names every class: their probability is always 1")


@rule("competition")
def scores_for_the_metric(s: Sections) -> Iterator[Broken]:
    """A metric that needs scores is not submitted as hard labels to a host, nor as an order of classes."""
    competition = s["competition"]
    metric, submission = METRICS.get(competition.metric), competition.submission
    needs = metric is not None and metric.needs == "probabilities"
    if metric and needs and competition.hosted and submission.format in HARD:
        yield (
            "competition.metric",
            _(
                "{metric} needs probabilities, and competition.submission.format={format} submits only the "
                "most probable class: set the format to probability or probabilities, as the host's sample "
                "shows, or choose another metric"
            ).format(metric=metric.name, format=submission.format),
        )
    ranked = submission.format == "top_k" and not (submission.confidence and competition.metric == "gap")
    if metric and needs and ranked and metric.name not in OF_RANKS:
        yield (
            "competition.metric",
            _(
                "{metric} needs probabilities, and competition.submission.format=top_k submits only the "
                "order of the first classes: choose {known} or a metric of the first one, such as accuracy"
            ).format(metric=metric.name, known=", ".join(OF_RANKS)),
        )


@rule("competition")
def submission_columns_and_words(s: Sections) -> Iterator[Broken]:
    """`columns` and `words` name attributes or classes, and their values are distinct."""
    competition = s["competition"]
    submission = competition.submission
    values = {a.name: a.names or a.values for a in competition.attributes}
    known = {"columns": values, "words": values}
    if submission.format in ("probabilities", "values"):
        pairs = [f"{name} · {own[0]}" for name, own in values.items() if len(own) == 2]
        of_pairs = pairs if competition.target == "labels" and not submission.long else []
        known["columns"] = {name: [] for name in (*columns_of(competition), *of_pairs)}
    used = {
        "columns": ("attributes", "probabilities", "values"),
        "words": ("attributes", "class_name", "words", "top_k"),
    }
    for name, formats in used.items():
        given = getattr(submission, name)
        if given is None or submission.format is None:
            continue
        if submission.format not in formats:
            words = " or ".join(formats)
            message = _("is used only with format={words}, and format={format}").format(
                words=words, format=submission.format
            )
            yield f"{_HOST}.{name}", message
            continue
        what = (
            _("a class") if name == "columns" and submission.format == "probabilities" else _("an attribute")
        )
        for unknown in given.keys() - known[name].keys():
            hint = nearest(unknown, known[name]) or _("known: {known}").format(
                known=", ".join(list(known[name])[:8])
            )
            yield (
                f"{_HOST}.{name}",
                _("`{unknown}` is not {what}; {hint}").format(unknown=unknown, what=what, hint=hint),
            )
    yield from _words(submission, values)
    yield from _of_one_cell(submission)
    yield from _long_form(submission)
    yield from _distinct_columns(submission, list(values), columns_of(competition))


def _words(submission: SubmissionSettings, values: dict[str, list[str]]) -> Iterator[Broken]:
    """One word for each value, or one for each label of format=words; none twice."""
    of_labels = submission.format == "words"
    for name, words in (submission.words or {}).items():
        if of_labels and len(words) != 1:
            yield (
                f"{_HOST}.words",
                _("{name} has {n} words: with format=words a label has one").format(name=name, n=len(words)),
            )
        # A label that is a word of a cell has the values no and yes.
        elif not of_labels and name in values and len(words) != len(values[name] or ("no", "yes")):
            message = _("{name} has {words} words for {values} values").format(
                name=name, words=len(words), values=len(values[name])
            )
            yield (
                f"{_HOST}.words",
                _("{message}: write one for each of {values}").format(
                    message=message, values=", ".join(values[name][:8])
                ),
            )
        if len(set(words)) != len(words):
            yield f"{_HOST}.words", _("{name} has a word twice").format(name=name)
    if of_labels:
        all_words = [(submission.words or {}).get(name, [name])[0] for name in values]
        twice = [word for word, count in Counter(all_words).items() if count > 1]
        if twice:
            yield f"{_HOST}.words", _("two labels have the word {twice}").format(twice=twice[0])
        # None means a blank, and words with blanks inside could not be told apart.
        between = " " if submission.separator is None else submission.separator
        for word in (w for w in all_words if between in w):
            yield (
                f"{_HOST}.separator",
                _("stands inside the word `{word}` as well as between words").format(word=word),
            )


def _of_one_cell(submission: SubmissionSettings) -> Iterator[Broken]:
    """Settings of one format are not given beside another one."""
    fits = {
        "separator": ("class_name", "words", "top_k"),
        "no_label": ("words",),
        "k": ("top_k",),
        "confidence": ("top_k",),
    }
    defaults = {name: SubmissionSettings.model_fields[name].default for name in fits}
    for name, formats in fits.items():
        chosen = getattr(submission, name) != defaults[name]
        if chosen and submission.format not in formats:
            words = " or ".join(formats)
            yield (
                f"{_HOST}.{name}",
                _("is used only with format={words}, and format={format}").format(
                    words=words, format=submission.format
                ),
            )
    if submission.separator == "" and submission.format in ("words", "top_k"):
        yield f"{_HOST}.separator", _("is empty, so that words could not be told apart")


def _long_form(submission: SubmissionSettings) -> Iterator[Broken]:
    """A row of the long form names its image and its answer in one way."""
    if not submission.long:
        return
    if submission.format is not None and submission.format not in LONG:
        at = "long_id" if submission.long_id is not None else "long_column"
        message = _("is used only with format={long}, and format={format}").format(
            long=" or ".join(LONG), format=submission.format
        )
        yield f"{_HOST}.{at}", message
    if submission.long_id is not None and submission.long_column is not None:
        yield f"{_HOST}.long_id", _("cannot be combined with long_column: keep one of the two")
    if submission.long_column in (submission.id_column, submission.label_column):
        yield f"{_HOST}.long_column", _("is also the column of the ids or of the answers")
    if submission.long_id is None:
        return
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(submission.long_id) if name is not None]
    except ValueError as error:
        yield f"{_HOST}.long_id", _("cannot be read: {error}").format(error=error)
        return
    if sorted(names) != ["answer", "id"]:
        yield f"{_HOST}.long_id", _("must contain {id} and {answer}, each once")


def _distinct_columns(submission: Any, attributes: list[str], classes: list[str]) -> Iterator[Broken]:
    named = {"attributes": attributes, "probabilities": classes, "values": classes}.get(submission.format, [])
    if submission.format == "values" and len(classes) == 1 and submission.columns is None:
        named = []
    answers = [(submission.columns or {}).get(name, name) for name in named]
    # In long form they are names in rows and no columns.
    columns = answers if submission.long else [submission.id_column, *answers]
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        at = "columns" if submission.columns else "id_column"
        yield f"{_HOST}.{at}", _("gives two columns the same name: {twice}").format(twice=", ".join(twice))
    filled = columns if named and not submission.long else [submission.id_column, submission.label_column]
    for column in submission.copied:
        if column in filled:
            yield (
                f"{_HOST}.copied",
                _("`{column}` holds the id or an answer: it cannot be copied").format(column=column),
            )


@rule("competition")
def submission_command(s: Sections) -> Iterator[Broken]:
    """The command has known placeholders only, and contains {file}."""
    command = s["competition"].submission.command
    if command is None:
        return
    try:
        shlex.split(command)
        names = {name for _, name, _, _ in string.Formatter().parse(command) if name is not None}
    except ValueError as error:
        yield f"{_HOST}.command", _("cannot be read: {error}").format(error=error)
        return
    odd = sorted(names - set(PLACEHOLDERS))
    if odd:
        yield (
            f"{_HOST}.command",
            _("has {{{odd}}}; the placeholders are {{file}}, {{message}} and {{name}}").format(odd=odd[0]),
        )
    if "file" not in names:
        yield f"{_HOST}.command", _("does not contain {file}, so it would submit nothing")
