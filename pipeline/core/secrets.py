"""Passwords: hidden wherever a text is shown or kept, while what works with them gets them as they are.

Owns finding them: in an address, behind an option of a command, and as the value of a setting or a variable
whose name says that it is one. Does not own addresses, commands nor settings.

    postgresql://me:pw@host/db               postgresql://…@host/db
    mysql://host/db?user=me&password=pw      mysql://host/db?user=me&password=…
    send --token=pw --key pw {file}          send --token=… --key … {file}
    curl -u me:pw -H "Authorization: Bearer pw"    curl -u me:… -H "Authorization: Bearer …"
    loss.params.api_key=pw, "password": "pw" loss.params.api_key=…, "password": "…"

A word such as `token` has other meanings in this field, so `true`, `false` and `null` are never hidden, and a
bare `key` is a secret only as an option or as the name of a setting. A setting of `NO_SECRETS` is none, and
neither is what it says of a class or a member that is called `token`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, unquote_plus

HIDDEN = "…"
# An address up to the first space or quote. A password may hold any other character, an @ included.
ADDRESS = re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)([^\s'\"<>`]+)")
# Everything before the last @, since a password may hold one: too much hidden is better than too little.
USER = re.compile(r"^.*@")
SECRET = re.compile(
    r"([?&;][^=&;#/]*?(?:pass|pwd|secret|token|key|auth|cred|signature|sig|sas)[^=&;#/]*?=)([^&\s]+)",
    re.IGNORECASE,
)
# Settings that are no secrets, though they, or the classes and members in them, may have the name of one:
# hidden, their values would be missing in keys and in commands.
NO_SECRETS = re.compile(
    r"images\.key|(?:loss\.(?:attributes\..+\.)?hand|resample\.counts|ensemble\.weights"
    r"|competition\.submission\.columns)(?:\..+)?"
)
# Shorter ones would be found inside other words.
SHORTEST = 3

# The end of a name whose value is a secret.
_WORD = (
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credentials?"
    r"|(?:api|access|private|secret|auth|account|client|encryption|kaggle)[_-]?key)"
)
# The same behind two dashes.
_OPTION = rf"(?:{_WORD}|key|auth|pass)"
_SCHEME = r"(?:Bearer|Basic|Token)"
_QUOTE = r"(?:\\?[\"'])"
# A reference to a variable or a placeholder is no secret, and neither is what is no text.
_PLAIN = r"(?!(?:true|false|null|none)\b)[^\s'\"`\\,;&=$<{}()\[\]…][^\s'\"`\\,;&{}()\[\]]*"
_VALUE = rf"(?:(?P<quote>{_QUOTE})(?P<quoted>[^'\"\\\n]*)(?P=quote)|(?P<plain>{_PLAIN}))"
# What stands in front of a secret, and the secret.
_NAMED = tuple(
    re.compile(front + _VALUE + behind, re.IGNORECASE | re.MULTILINE)
    for front, behind in (
        (rf"(?P<front>{_WORD}{_QUOTE}?[ \t]*=[ \t]*)", ""),
        (rf"(?P<front>{_WORD}{_QUOTE}[ \t]*:[ \t]*)", ""),
        (rf"(?P<front>{_WORD}:[ \t]+)", r"(?=[ \t]*(?:[,}\"'\\]|#|$))"),
        (rf"(?P<front>--(?:[\w-]{{0,40}}-)?{_OPTION}(?:[= \t][ \t]*))", ""),
        (r"(?P<front>(?<!\S)(?:-u|--user)[= \t][ \t]*[^\s:'\"]+:)", ""),
        (rf"(?P<front>\bAuthorization:[ \t]*(?:{_SCHEME}[ \t]+)?)(?!{_SCHEME}[ \t])", ""),
        (r"(?P<front>\bBearer[ \t]+)(?=[^\s]{8})", ""),
    )
)
# `'--token=a secret with spaces'`: the quotes are around the whole word.
_WHOLE_WORD = re.compile(
    rf"(?P<quote>{_QUOTE})(?P<front>--(?:[\w-]{{0,40}}-)?{_OPTION}=)(?P<plain>[^'\"\\\n]+)(?P=quote)",
    re.IGNORECASE,
)
# Most texts have none of these words, and are not looked at again.
_HINT = re.compile(
    rf"{_WORD}|--[\w-]{{0,40}}(?:key|auth|pass)|(?<!\S)(?:-u|--user)[= ]|authorization|bearer", re.IGNORECASE
)
_NAME_IN = re.compile(rf"{_WORD}$", re.IGNORECASE)
_SECRET_NAME = re.compile(rf"(?:{_WORD}|(?:^|[_.-])(?:key|auth)|(?<=[a-z])(?-i:Key))$", re.IGNORECASE)


def hidden(text: str, *addresses: str) -> str:
    """A text with the passwords of every address inside it replaced by `…`.

    Args:
        text: any text, e.g. the message of a database driver.
        addresses: or commands, whose passwords are hidden also where they stand alone, or decoded.
    """
    for secret in sorted({s for a in addresses for s in _secrets(a)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = ADDRESS.sub(_without, text) if "://" in text else text
    if _HINT.search(text) is None:
        return text
    text = _WHOLE_WORD.sub(rf"\g<quote>\g<front>{HIDDEN}\g<quote>", text)
    for pattern in _NAMED:
        text = pattern.sub(_unnamed, text)
    return text


def is_secret(name: str) -> bool:
    """Whether the name of a setting, such as `loss.params.api_key`, says that its value is a secret."""
    return _SECRET_NAME.search(name) is not None and NO_SECRETS.fullmatch(name) is None


def hidden_value(name: str, value: Any) -> Any:
    """The value of a setting of this name: `…` where the name says that it is a secret; see `hidden_in`."""
    return HIDDEN if _is_scalar(value) and is_secret(name) else hidden_in(value, name)


def hidden_in(value: Any, above: str = "") -> Any:
    """A nested value of dicts, lists and texts with every text `hidden`, and the values of secret names.

    A class may be called `key`, and be the name of a column or a word: here it is no secret.

    Args:
        value: of settings, nested.
        above: the setting whose value it is; empty: of all settings.
    """
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, dict):
        paths = {name: f"{above}.{name}".lstrip(".") for name in value}
        return {
            name: HIDDEN
            if _is_scalar(below) and _NAME_IN.search(str(name)) and is_secret(paths[name])
            else hidden_in(below, paths[name])
            for name, below in value.items()
        }
    return [hidden_in(below) for below in value] if isinstance(value, list | tuple) else value


def _is_scalar(value: Any) -> bool:
    return (isinstance(value, str) and value != "") or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )


def hidden_word(word: str) -> str:
    """A word of a command line, such as `loss.params.key=abc`, without its secret."""
    name, equals, value = word.partition("=")
    if NO_SECRETS.fullmatch(name):
        return word
    return f"{name}={HIDDEN}" if equals and value and is_secret(name) else hidden(word)


def hidden_words(words: Sequence[str]) -> list[str]:
    """The words of a command, each whole, without secrets: `--token=a b` is one word with a space in it."""
    shown: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        of_option = shown[-1] if shown and shown[-1].startswith("--") and "=" not in shown[-1] else ""
        if equals and value and name.startswith("-") and is_secret(name):
            word = f"{name}={HIDDEN}"
        elif of_option and is_secret(of_option) and not word.startswith("-"):
            word = HIDDEN
        shown.append(hidden(word))
    return shown


def _unnamed(match: re.Match[str]) -> str:
    quote = match["quote"] or ""
    whole = match["quoted"] if quote else match["plain"]
    return (
        match[0] if not whole or whole.startswith(("$", "{")) else f"{match['front']}{quote}{HIDDEN}{quote}"
    )


def _without(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    place, mark, fragment = rest.partition("#/")  # the page of a web application has no password
    user = USER.match(place)
    if user:
        # A query may hold an @ as well: what stands before it is hidden with the user's part.
        place = f"{HIDDEN}@{place[user.end() :]}"
    return scheme + SECRET.sub(rf"\1{HIDDEN}", place) + mark + fragment


def _secrets(address: str) -> set[str]:
    """The passwords of one address or command, as written and decoded."""
    named = {match["plain"] for match in _WHOLE_WORD.finditer(address)}
    for pattern in _NAMED:
        named |= {match["quoted"] or match["plain"] or "" for match in pattern.finditer(address)}
    return {s for s in named | _of_address(address) if len(s) >= SHORTEST}


def _of_address(address: str) -> set[str]:
    _, scheme, rest = address.partition("://")
    if not scheme:
        return set()
    values = [value for _, value in SECRET.findall(rest)]
    found = {*values, *(value.partition("#")[0] for value in values)}
    user, at, _ = rest.partition("?")[0].rpartition("@")
    if at:
        name, colon, password = user.partition(":")
        found.add(password if colon else name)
    found |= {decoded for s in set(found) for decoded in (unquote(s), unquote_plus(s))}
    return found
