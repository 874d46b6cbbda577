"""The cells of a host's table: predictions as text, and text as answers, for every format.

Owns what a cell says in each format, the names of the columns of answers, and the host's words. Does not own
whole files, their ids and their order (`data/host_format.py`) nor long form (`data/long_form.py`): the tables
here have one row an image.

Shape legend: N samples, K columns of predictions (C where they are classes), A attributes or labels.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.core.errors import ConfigError, Suggestions
from pipeline.core.language import _
from pipeline.core.predictions import answers_of
from pipeline.core.samples import Floats, Ints, LabelSpace, Truth
from pipeline.core.tables import Table
from pipeline.core.targets import EXCLUSIVE, LABELS, ROW_SUM_TOLERANCE, VALUES, Target, most_probable
from pipeline.core.wording import worded
from pipeline.data import texts
from pipeline.settings.submission import FORMATS, SubmissionSettings

# The formats whose answers are numbers and not names.
NUMBERS = ("probability", "probabilities", "values")
# Between words of a cell, where the settings name nothing else.
BLANK = " "
SHOWN_COLUMNS = 4
# The share of the least named class that a class that is not named gets at most.
BELOW = 0.999


@dataclass(frozen=True)
class Parsed:
    """The content of a table.

    Args:
        answers: in the form of `Samples.truth`.
        p_NK: probabilities or values, in the order of the columns of predictions, if it has any.
        faults: one line each.
    """

    answers: Truth
    p_NK: Floats | None
    faults: tuple[str, ...]


def columns_of(space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """The columns of the answer as the settings name them; in long form the names of the answers."""
    target, form = Target.of(space), settings.format
    if form is not None:
        target.require(
            [kind for kind, formats in FORMATS.items() if form in formats],
            f"competition.submission.format={form}",
        )
    given = settings.columns or {}
    if form == "probabilities":
        others = tuple(given[key] for key, _ in complements(space, settings))
        return (*(given.get(c, c) for c in target.columns), *others)
    if form == "values" and (len(target.columns) > 1 or settings.columns is not None or settings.long):
        return tuple(given.get(c, c) for c in target.columns)
    if form == "attributes":
        return tuple(given.get(a.name, a.name) for a in space.attributes)
    return (settings.label_column,)


def complements(space: LabelSpace, settings: SubmissionSettings) -> list[tuple[str, int]]:
    """(key of `columns`, column of predictions) of first levels of labels of two that the host asks for, too.

    Of such a label the predictions have the probability of its second level alone.
    """
    if space.kind != LABELS or settings.format != "probabilities":
        return []
    given, found = settings.columns or {}, []
    for number, attribute in enumerate(space.attributes):
        key = f"{attribute.name} · {attribute.values[0]}" if len(attribute.values) == 2 else ""
        if key in given:
            found.append((key, int(np.argmax(space.codes_CA[:, number]))))
    return found


def host_cells(
    p_NK: Floats, answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> dict[str, list[str]]:
    """The answer columns as text, by column.

    With format=attributes each image gets the attributes of its most probable class, so that the file
    contains what was scored; of labels, each by itself.
    """
    target = Target.of(space)
    if settings.format in ("probabilities", "values"):
        rest = [np.float32(1) - p_NK[:, k] for _, k in complements(space, settings)]
        if settings.total != 1:
            parts_NK = p_NK.astype(np.float64) * settings.total
            return {c: [f"{v:.7g}" for v in p_N] for c, p_N in zip(answers, parts_NK.T, strict=True)}
        return {column: [str(v) for v in p_N] for column, p_N in zip(answers, [*p_NK.T, *rest], strict=True)}
    if settings.format == "probability":
        # Sums of float32 may exceed 1 by rounding, which some hosts refuse.
        p_N = np.minimum(p_NK[:, positive_of(space, settings)].sum(axis=1), np.float32(1))
        return {answers[0]: [str(v) for v in p_N]}
    if settings.format == "attributes":
        words, codes_NA = _words(space, settings), _codes(target, p_NK)
        return {c: [words[a][v] for v in codes_NA[:, a].tolist()] for a, c in enumerate(answers)}
    if settings.format == "words":
        return {answers[0]: _cells_of_words(target, p_NK, settings)}
    written = vocabulary(space, settings)
    if settings.format == "top_k":
        return {answers[0]: _cells_of_ranks(p_NK, written, settings)}
    return {answers[0]: [written[c] for c in target.answers(p_NK).tolist()]}


def _codes(target: Target, p_NK: Floats) -> Ints:
    """(N, A) the answered value of each attribute or label."""
    space = target.space
    assert space is not None, "the target of samples has a space"
    if target.kind == EXCLUSIVE:
        return np.asarray(space.codes_CA[target.answers(p_NK)], dtype=np.int64)
    held_NK = target.held(p_NK).astype(np.int64)
    # A column of a label of two values stands for its second one, whose code is 1.
    return np.asarray(held_NK @ np.maximum(space.codes_CA, 0), dtype=np.int64)


def _cells_of_words(target: Target, p_NK: Floats, settings: SubmissionSettings) -> list[str]:
    between, words = separator_of(settings), words_of_labels(target, settings)
    held_NK = target.held(p_NK)
    if settings.no_label is None:
        none_N = ~held_NK.any(axis=1)
        held_NK[none_N, most_probable(p_NK[none_N])] = True
    cells = [between.join(words[k] for k in np.flatnonzero(row).tolist()) for row in held_NK]
    return [cell or str(settings.no_label or "") for cell in cells]


def _cells_of_ranks(p_NC: Floats, written: Sequence[str], settings: SubmissionSettings) -> list[str]:
    between = separator_of(settings)
    # Stable, so that of equal classes the first one is first, as for the most probable class.
    order_Nk = np.argsort(-p_NC, axis=1, kind="stable")[:, : settings.k]
    if not settings.confidence:
        return [between.join(written[c] for c in row) for row in order_Nk.tolist()]
    return [
        between.join(f"{written[c]}{BLANK}{p_NC[n, c]!s}" for c in row)
        for n, row in enumerate(order_Nk.tolist())
    ]


def separator_of(settings: SubmissionSettings) -> str:
    """What stands between the words of a cell, for format=words and top_k."""
    return BLANK if settings.separator is None else settings.separator


def words_of_labels(target: Target, settings: SubmissionSettings) -> list[str]:
    """The word of each label, for format=words.

    Raises:
        ConfigError: a label has several levels, which one word cannot say.
    """
    if target.blocks:
        raise ConfigError(
            _(
                "competition.submission.format=words needs labels that hold or not, and some have several "
                "levels"
            ),
            remedy=_("choose attributes or probabilities"),
        )
    return [(settings.words or {}).get(name, [name])[0] for name in target.columns]


def vocabulary(space: LabelSpace, settings: SubmissionSettings) -> tuple[str, ...]:
    """(C,) what is written for each class, for class_index, class_name and top_k."""
    if settings.format not in ("class_name", "top_k"):
        return tuple(str(c) for c in range(space.n_classes))
    joined = settings.separator is not None and settings.format == "class_name"
    if settings.words is None and not joined:
        return space.classes
    words, between = _words(space, settings), str(settings.separator) if joined else " · "
    return tuple(between.join(words[a][v] for a, v in enumerate(codes)) for codes in space.codes_CA.tolist())


def positive_of(space: LabelSpace, settings: SubmissionSettings) -> list[int]:
    """The class indices whose summed probability is written, for format=probability.

    Raises:
        ConfigError: a name is not a class.
    """
    unknown = [name for name in settings.positive or () if name not in space.classes]
    if unknown or not settings.positive:
        raise ConfigError(
            _("competition.submission.positive: {unknown}").format(
                unknown=", ".join(unknown) or _("it is missing")
            ),
            remedy=_("name one or several of: {some_words}").format(some_words=some_words(space.classes)),
        )
    return [space.classes.index(name) for name in settings.positive]


def parse(
    table: Table, ids: Sequence[str], answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    """Cells as answers and probabilities; `ids` name the rows in faults."""
    target = Target.of(space)
    if settings.format in ("probabilities", "values"):
        parsed = _numbers(table, ids, answers[: target.n_columns], target, settings.total)
        odd = _odd_pairs(table, ids, answers, complements(space, settings))
        return replace(parsed, faults=(*parsed.faults, *odd))
    if settings.format == "probability":
        return _probability(table, ids, answers[0], space, settings)
    if settings.format == "attributes":
        return _attributes(table, ids, answers, space, settings)
    if settings.format == "words":
        return _of_words(table, ids, answers[0], target, settings)
    if settings.format == "top_k":
        return _of_ranks(table, ids, answers[0], space, settings)
    known = {_composed(word): c for c, word in enumerate(vocabulary(space, settings))}
    labels, faults = np.zeros(len(ids), np.int64), []
    near = Suggestions(known)
    for n, value in enumerate(map(_composed, table.column(answers[0]))):
        if value in known:
            labels[n] = known[value]
        elif settings.format == "class_name":
            hint = near.of(value)
            faults.append(
                _("id {id!r}: {value!r} is not a class{text}").format(
                    id=ids[n], value=value, text=_("; {hint}").format(hint=hint) if hint else ""
                )
            )
        else:
            faults.append(
                _("id {id!r}: {value!r} is not a class index 0…{n_classes}").format(
                    id=ids[n], value=value, n_classes=space.n_classes - 1
                )
            )
    return Parsed(labels, None, tuple(faults))


def number(text: str) -> float:
    """A cell as a number, NaN if it is not a number."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _words(space: LabelSpace, settings: SubmissionSettings) -> list[Sequence[str]]:
    """The host's names of the values of each attribute."""
    return [(settings.words or {}).get(a.name, a.values) for a in space.attributes]


def _attributes(
    table: Table, ids: Sequence[str], answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    known = [{_composed(word): v for v, word in enumerate(words)} for words in _words(space, settings)]
    columns = [[_composed(value) for value in table.column(column)] for column in answers]
    codes_NA, faults = np.zeros((len(ids), len(known)), np.int64), []
    near = [Suggestions(words) for words in known]
    for n, row in enumerate(zip(*columns, strict=True)):
        codes_NA[n] = [words.get(value, -1) for value, words in zip(row, known, strict=True)]
        for column, value, similar, code in zip(answers, row, near, codes_NA[n].tolist(), strict=True):
            if code < 0:
                hint = f"; {found}" if (found := similar.of(value)) else ""
                faults.append(
                    _("id {id!r}: {column} {value!r} is not one of its values{hint}").format(
                        id=ids[n], column=column, value=value, hint=hint
                    )
                )
    if space.kind == LABELS:
        own_K = space.codes_CA.argmax(axis=1)
        held_NK = codes_NA[:, own_K] == space.codes_CA.max(axis=1)
        return Parsed(held_NK.astype(np.float32), None, tuple(faults))
    classes = {tuple(codes): c for c, codes in enumerate(space.codes_CA.tolist())}
    labels = np.zeros(len(ids), np.int64)
    for n, codes in enumerate(map(tuple, codes_NA.tolist())):
        if codes in classes:
            labels[n] = classes[codes]
        elif min(codes) >= 0:
            row_text = ", ".join(column[n] for column in columns)
            faults.append(_("id {id!r}: no class is {row_text}").format(id=ids[n], row_text=row_text))
    return Parsed(labels, None, tuple(faults))


def _composed(text: str) -> str:
    # macOS decomposes Hangul and accents; the same name must remain the same class.
    return unicodedata.normalize("NFC", text)


def _numbers(
    table: Table, ids: Sequence[str], answers: Sequence[str], target: Target, total: float
) -> Parsed:
    """Probabilities of classes or labels, shares that sum to `total`, or values."""
    p = np.array([[number(value) for value in table.column(column)] for column in answers]).T
    p = p.reshape(len(ids), len(answers)) / total
    faults = []
    for n, (p_K, off) in enumerate(zip(p, target.off_N(p), strict=True)):
        if not np.isfinite(p_K).all():
            c = int(np.argmin(np.isfinite(p_K)))
            faults.append(
                _("id {id!r}: column {answers!r} is not a number").format(id=ids[n], answers=answers[c])
            )
        elif target.kind == VALUES:
            continue
        elif (p_K < 0).any():
            faults.append(
                _("id {id!r}: column {answers!r} is negative").format(
                    id=ids[n], answers=answers[int(np.argmin(p_K))]
                )
            )
        elif target.kind == LABELS and (p_K > 1 + ROW_SUM_TOLERANCE).any():
            faults.append(
                _("id {id!r}: column {answers!r} is above 1").format(
                    id=ids[n], answers=answers[int(np.argmax(p_K))]
                )
            )
        elif off > ROW_SUM_TOLERANCE and target.kind == LABELS:
            faults.append(
                _("id {id!r}: {odd_block}").format(id=ids[n], odd_block=_odd_block(target, p_K, answers))
            )
        elif off > ROW_SUM_TOLERANCE:
            faults.append(
                _("id {id!r}: sums to {sum:.4g}, not {total:g}").format(
                    id=ids[n], sum=p_K.sum() * total, total=total
                )
            )
    p_NK = target.normalised(np.nan_to_num(p, posinf=0, neginf=0)) if faults else target.normalised(p)
    return Parsed(answers_of(target, p_NK), p_NK, tuple(faults))


def _odd_pairs(
    table: Table, ids: Sequence[str], answers: Sequence[str], pairs: Sequence[tuple[str, int]]
) -> list[str]:
    """Rows in which both levels of a label do not sum to 1; other faults are told elsewhere."""
    faults = []
    for at, (_name, k) in enumerate(pairs, len(answers) - len(pairs)):
        for n, cells in enumerate(zip(table.column(answers[at]), table.column(answers[k]), strict=True)):
            total = number(cells[0]) + number(cells[1])
            if not abs(total - 1) <= ROW_SUM_TOLERANCE:
                told = texts.ODD_PAIR.format(columns=f"{answers[at]}, {answers[k]}", total=total)
                faults.append(_("id {id!r}: {told}").format(id=ids[n], told=told))
    return faults


def _odd_block(target: Target, p_K: Floats, answers: Sequence[str]) -> str:
    """The levels of a label whose probabilities do not sum to 1."""
    block = max(target.blocks, key=lambda b: abs(p_K[b].sum() - 1))
    return _("{answers} sum to {sum:.4g}, not 1").format(
        answers=", ".join(answers[block]), sum=p_K[block].sum()
    )


def _probability(
    table: Table, ids: Sequence[str], answer: str, space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    """One probability per row; the classes on each side of it share it equally, because nothing says more."""
    p_N = np.array([number(value) for value in table.column(answer)]).reshape(len(ids))
    faults = []
    for n in np.flatnonzero(~((p_N >= 0) & (p_N <= 1))).tolist():
        what = _("is not a number") if np.isnan(p_N[n]) else _("is not between 0 and 1")
        faults.append(
            _("id {id!r}: {answer} {column!r} {what}").format(
                id=ids[n], answer=answer, column=table.column(answer)[n], what=what
            )
        )
    at = positive_of(space, settings)
    others = [c for c in range(space.n_classes) if c not in at]
    p_NC = np.zeros((len(ids), space.n_classes))
    p_NC[:, at] = p_N[:, None] / len(at)
    p_NC[:, others] = (1 - p_N[:, None]) / len(others)
    return Parsed(most_probable(np.nan_to_num(p_NC)), p_NC.astype(np.float32), tuple(faults))


def _split(cell: str, between: str) -> list[str]:
    """The words of a cell; those between two separators only are none."""
    parts = cell.split() if between == BLANK else cell.split(between)
    return [_composed(part).strip() for part in parts if part.strip()]


def _of_words(
    table: Table, ids: Sequence[str], answer: str, target: Target, settings: SubmissionSettings
) -> Parsed:
    """Labels that hold as words of one cell; an empty one, and the word for it, say that none does."""
    words, between = words_of_labels(target, settings), separator_of(settings)
    known = {_composed(word): k for k, word in enumerate(words)}
    none = _composed(settings.no_label or "")
    near, faults = Suggestions(known), []
    held_NK = np.zeros((len(ids), len(words)), np.float32)
    for n, cell in enumerate(table.column(answer)):
        if _composed(cell) == none and none not in known:
            continue
        for word in _split(cell, between):
            if word in known:
                held_NK[n, known[word]] = 1
            else:
                hint = near.of(word)
                faults.append(
                    _("id {id!r}: {word!r} is not a label{text}").format(
                        id=ids[n], word=word, text=_("; {hint}").format(hint=hint) if hint else ""
                    )
                )
    return Parsed(held_NK, None, tuple(faults))


def _of_ranks(
    table: Table, ids: Sequence[str], answer: str, space: LabelSpace, settings: SubmissionSettings
) -> Parsed:
    """Classes in the order of a cell; their probabilities halve, as only the order counts."""
    written, between = vocabulary(space, settings), separator_of(settings)
    known = {_composed(word): c for c, word in enumerate(written)}
    near, faults = Suggestions(known), []
    p_NC = np.zeros((len(ids), len(written)), np.float32)
    for n, cell in enumerate(table.column(answer)):
        words, shares = _ranked(cell, between, settings.confidence)
        odd = [word for word in words if word not in known]
        hint = near.of(odd[0]) if odd else ""
        wrong = [
            *(f"{word!r} is not a class{f'; {hint}' if hint else ''}" for word in odd[:1]),
            *([texts.RANKS_EMPTY] if not words else []),
            *([texts.RANKS_MANY.format(n=len(words), k=settings.k)] if len(words) > settings.k else []),
            *([texts.RANKS_TWICE] if len(set(words)) < len(words) else []),
            *([texts.RANKS_CONFIDENCE] if shares is None else []),
        ]
        faults += [f"id {ids[n]!r}: {what}" for what in wrong]
        if not wrong:
            p_NC[n, [known[word] for word in words]] = shares
    p_NC = Target.of(space).normalised(_with_the_others(p_NC))
    return Parsed(most_probable(p_NC), p_NC, tuple(faults))


def _with_the_others(p_NC: Floats) -> Floats:
    """The probability that is left shared by the classes that are not named, each below every named one."""
    free_NC = p_NC == 0
    left_N = np.maximum(1 - p_NC.sum(axis=1), 0) / np.maximum(free_NC.sum(axis=1), 1)
    least_N = np.where(free_NC, np.inf, p_NC).min(axis=1)
    each_N = np.minimum(left_N, np.where(np.isfinite(least_N), least_N * BELOW, left_N))
    return np.asarray(np.where(free_NC, each_N[:, None], p_NC), dtype=np.float32)


def _ranked(cell: str, between: str, confidence: bool) -> tuple[list[str], list[float] | None]:
    """The classes of a cell and a number for each; None where a confidence is missing or no number."""
    parts = _split(cell, between)
    if not confidence:
        return parts, [0.5 ** (rank + 1) for rank in range(len(parts))]
    if between == BLANK:
        parts = [f"{a} {b}" for a, b in zip(parts[::2], [*parts[1::2], ""], strict=False)]
    words, shares = [p.rpartition(BLANK)[0] for p in parts], [number(p.rpartition(BLANK)[2]) for p in parts]
    return words, shares if all(0 <= s <= 1 for s in shares) else None


def some_words(words: Sequence[str], shown: int = 6) -> str:
    """The first words, and how many there are where some are left out."""
    return ", ".join(words[:shown]) + (
        _(", … ({n} in all)").format(n=len(words)) if len(words) > shown else ""
    )


def described(answers: Sequence[str], space: LabelSpace, settings: SubmissionSettings) -> str:
    """What the answers of a submission hold, in words: 1 column `target` = the probability of class `1`."""
    form, count, columns = settings.format, len(answers), some_words(answers)
    if form == "probability":
        classes = [space.classes[c] for c in positive_of(space, settings)]
        text = texts.WRITTEN_PROBABILITY if len(classes) == 1 else texts.WRITTEN_SUM
        return text.format(column=answers[0], classes=", ".join(f"`{c}`" for c in classes))
    if form == "probabilities":
        what = texts.WRITTEN_OF[space.kind]
        if settings.total != 1:
            what = texts.WRITTEN_TOTAL.format(what=what, total=settings.total)
        return worded(texts.WRITTEN_PROBABILITIES, count=count, columns=columns, what=what)
    if form == "values":
        return worded(texts.WRITTEN_VALUES, count=count, columns=columns)
    if form == "attributes":
        some = zip(answers[:SHOWN_COLUMNS], _words(space, settings), strict=False)
        shown = "; ".join(f"`{c}` = {some_words(list(w))}" for c, w in some)
        more = "; …" if count > SHOWN_COLUMNS else ""
        return worded(texts.WRITTEN_ATTRIBUTES, count=count, columns=shown + more)
    if form == "words":
        words, between = some_words(words_of_labels(Target.of(space), settings)), separator_of(settings)
        return texts.WRITTEN_WORDS.format(column=answers[0], words=words, separator=between)
    words = some_words(vocabulary(space, settings))
    if form == "top_k":
        facts = {"k": min(settings.k, space.n_classes), "separator": separator_of(settings)}
        confidence = texts.WRITTEN_CONFIDENCE if settings.confidence else ""
        return texts.WRITTEN_TOP_K.format(column=answers[0], words=words, confidence=confidence, **facts)
    if form == "class_index":
        words = some_words([f"{c} = {name}" for c, name in enumerate(space.classes)])
        return texts.WRITTEN_INDEX.format(column=answers[0], words=words)
    return texts.WRITTEN_NAME.format(column=answers[0], words=words)
