"""The class that means none of the known ones, such as `new_whale`, in the training table or the sample.

Owns recognising it, adding it to the classes, and the question where only a person knows. Does not own what
follows from it (`data/unseen.py`, `ensemble/new_class.py`).

A word of the sample beside known classes that no training row has is the new class if its name says so; any
other word may be a class without training images, so the user is asked. A class of the training table is the
new class if its name says so and it is the most frequent one by far: a whale of that name would not be.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from pipeline.core.language import joined
from pipeline.data import texts
from pipeline.data.new import columns, words
from pipeline.data.new.asked import Asked
from pipeline.data.new.request import Proposal, scalar
from pipeline.data.new.target import Label

# Names that say that nothing known is shown.
SAYS_SO = re.compile(
    r"(new|unseen|novel|unknown|unidentified|unlisted)([\s_-].*|\d*)|.*[\s_-](unknown|unseen|unidentified)"
    r"|none[\s_-]of[\s_-](these|them|those|the[\s_-]above)|not[\s_-]listed",
    re.IGNORECASE,
)
# Names that may say so.
MAY_SAY_SO = re.compile(
    r"others?|none|nothing|no[\s_-].*|misc(ellaneous)?|background|unlabell?ed|-1", re.IGNORECASE
)
# A class of the table is the new one if it has so many times the images of the median class.
FREQUENT = 5
# With fewer classes an `unknown` among them is a class like the others.
FEW_CLASSES = 20
BETWEEN = re.compile(r"[\s|;,]+")


@dataclass(frozen=True)
class NewClass:
    """What is known of it.

    Args:
        word: it; empty: there is none.
        why: the reason.
        question: what only the user can say; empty: it is certain.
        hints: for the end of the file.
    """

    word: str = ""
    why: str = ""
    question: str = ""
    hints: tuple[str, ...] = ()


def recognised(label: Label, asked: Asked | None) -> tuple[Label, NewClass]:
    """The label with the new class among its values, and what is known of that class."""
    if label.target != "exclusive" or len(label.values) != 1 or label.one_hot:
        return label, NewClass()
    in_sample = _only_in_sample(label, asked)
    named = [word for word in in_sample if SAYS_SO.fullmatch(word)]
    if named or len(in_sample) == 1:
        word = (named or in_sample)[0]
        values = tuple(columns.in_order({*label.classes, word}))
        question = "" if named else texts.QUESTION_NEW_CLASS.format(word=word, value=scalar(word))
        others = [w for w in in_sample if w != word]
        return replace(label, values=(values,)), NewClass(word, texts.NEW_IN_SAMPLE, question, _never(others))
    of_table = _in_table(label)
    return label, replace(of_table, hints=(*of_table.hints, *_never(in_sample)))


def propose(proposal: Proposal, found: NewClass) -> None:
    """Set the new class and the step that answers it, or ask for it."""
    proposal.hints += found.hints
    if not found.word:
        return
    if found.question:
        proposal.set("competition.new_class", texts.TO_FILL, texts.OPEN)
        proposal.trial = (*proposal.trial, "competition.new_class=null")
        proposal.question = joined("; ", [q for q in (proposal.question, found.question) if q])
        return
    proposal.set("competition.new_class", found.word, found.why)
    proposal.set("decision.steps", ["new_class"], texts.NEW_CLASS_STEP)


def _only_in_sample(label: Label, asked: Asked | None) -> list[str]:
    """Words of the sample's only answer column that stand beside known classes and are none of them."""
    if asked is None or len(asked.answers) != 1:
        return []
    cells, known = asked.cells(asked.answers[0]), set(label.classes)
    parted = {cell: [cell] if cell in known else BETWEEN.split(cell.strip()) for cell in cells}
    several = any(len(parts) > 1 for parts in parted.values())
    if any(" " in value for value in known) and several:
        return []
    found = {part for parts in parted.values() for part in parts if part}
    # Numbers beside classes are confidences, and a sample without a known class says nothing of others.
    new = {word for word in found - known if not _confidence(word)}
    return columns.in_order(new) if found & known else []


def _confidence(word: str) -> bool:
    return bool(re.fullmatch(r"[01]?\.\d*|0|1|\d+\.\d+", word))


def _in_table(label: Label) -> NewClass:
    """A class of the training table by its name and frequency."""
    counts = Counter(label.cells[0])
    middle = sorted(counts.values())[len(counts) // 2]
    named = [word for word in label.classes if SAYS_SO.fullmatch(word)]
    frequent = [w for w in named if counts[w] == max(counts.values()) and counts[w] >= FREQUENT * middle]
    if len(frequent) == 1 and len(label.classes) > FEW_CLASSES:
        return NewClass(frequent[0], texts.NEW_IN_TABLE.format(images=counts[frequent[0]]))
    if len(label.classes) <= FEW_CLASSES:
        return NewClass()
    maybe = [word for word in label.classes if SAYS_SO.fullmatch(word) or MAY_SAY_SO.fullmatch(word)]
    return NewClass(hints=tuple(texts.NEW_CLASS_HINT.format(word=word) for word in maybe[:1]))


def _never(others: list[str]) -> tuple[str, ...]:
    if not others:
        return ()
    return (texts.NEVER_TRAINED.format(words=words.some(others), n=len(others)),)
