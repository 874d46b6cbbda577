"""Korean particles behind a word that is inserted: 은/는, 이/가, 을/를, 와/과, 으로/로, by its last sound.

Owns finding the last sound of a word, in Hangul, digits or Latin letters, and the notation of translations:
two forms in braces behind the word, in any order. Does not own the texts (`pipeline/locale/`).

    agreed("run7{은/는} resnet{을/를}", …)      run7은 resnet을
"""

from __future__ import annotations

import re

# The two forms: after a final consonant, and after a vowel.
PAIRS = (
    ("은", "는"),
    ("이", "가"),
    ("을", "를"),
    ("과", "와"),
    ("으로", "로"),
    ("이라", "라"),
    ("이며", "며"),
)
FORMS = {
    f"{one}/{other}": (closed, open_)
    for closed, open_ in PAIRS
    for one, other in ((closed, open_), (open_, closed))
}
# 으로 and 로: a final ㄹ counts as a vowel.
AFTER_L_OPEN = ("으로", "로")
OPEN, CLOSED, L = "open", "closed", "ㄹ"
# 영 일 이 삼 사 오 육 칠 팔 구; tens, hundreds and thousands end in a consonant like 영.
DIGITS = {
    "0": CLOSED,
    "1": L,
    "2": OPEN,
    "3": CLOSED,
    "4": OPEN,
    "5": OPEN,
    "6": CLOSED,
    "7": L,
    "8": L,
    "9": OPEN,
}
# Names of letters: 엘 엠 엔 알; all others end in a vowel.
LETTERS = {"l": L, "m": CLOSED, "n": CLOSED, "r": L}
VOWELS = "aeiou"
SIGNS = {"%": OPEN, "℃": OPEN}
# Signs of a closing quotation or bracket, a tag, and a remark in brackets are not spoken.
SILENT = re.compile(r"(?:<[^<>]*>|\s?\([^()]*\)|[^\w%℃]|_)+$")
WORD = re.compile(r"[A-Za-z]+$")
# Marks of a particle in a text that is being filled in, by private characters.
MARK = re.compile(f"\ue000({'|'.join(FORMS)})\ue001")


def is_particle(field: str) -> bool:
    """Whether the text between two braces is a pair of particles."""
    return field in FORMS


def marked(field: str) -> str:
    """A place for a particle, which `agreed` fills."""
    return f"\ue000{field}\ue001"


def agreed(text: str) -> str:
    """The text with each marked place filled by the form that fits the word before it."""
    found = MARK.search(text)
    while found is not None:
        before = text[: found.start()]
        text = f"{before}{particle(before, found[1])}{text[found.end() :]}"
        found = MARK.search(text)
    return text


def particle(word: str, pair: str) -> str:
    """The form of a pair such as `은/는` that fits the end of a word.

    A word whose sound is not known, in another script, gets both forms: `은(는)`.
    """
    closed, open_ = FORMS[pair]
    sound = last_sound(word)
    if sound is None:
        return f"{closed}({open_})" if closed != "으로" else "(으)로"
    if sound == L and (closed, open_) == AFTER_L_OPEN:
        return open_
    return open_ if sound == OPEN else closed


def last_sound(word: str) -> str | None:
    """`open` for a vowel, `closed` for a consonant, `ㄹ` for that consonant; None: it is not known."""
    spoken = SILENT.sub("", word) or word.rstrip()
    last = spoken[-1:]
    if "가" <= last <= "힣":
        final = (ord(last) - ord("가")) % 28
        return OPEN if final == 0 else L if final == 8 else CLOSED
    if last in DIGITS or last in SIGNS:
        return DIGITS.get(last) or SIGNS[last]
    found = WORD.search(spoken)
    return None if found is None else _of_latin(found[0])


def _of_latin(word: str) -> str:
    """The last sound of a Latin word as Koreans say it.

    An abbreviation, in capitals or without a vowel, is spelled: `CSV`, `cnn`. A word is said: `model` 모델,
    `train` 트레인, `set` 셋, but `blend` 블렌드.
    """
    lower = word.lower()
    if word.isupper() or not set(lower) & {*VOWELS, "y"}:
        return LETTERS.get(lower[-1], OPEN)
    if lower[-1] == "l":
        return L
    if lower[-1] in "mn" or lower.endswith(("ng", "ck", "epoch")):
        return CLOSED
    return CLOSED if lower[-1] in "bckpt" and lower[-2] in VOWELS else OPEN
