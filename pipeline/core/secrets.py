"""Passwords in addresses: hidden wherever a text is shown or kept.

Owns finding them, in an address as well as in any text around one. Does not own addresses.

    postgresql://me:pw@host/db               postgresql://…@host/db
    mysql://host/db?user=me&password=pw      mysql://host/db?user=me&password=…
"""

from __future__ import annotations

import re
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
# Shorter ones would be found inside other words.
SHORTEST = 3


def hidden(text: str, *addresses: str) -> str:
    """A text with the passwords of every address inside it replaced by `…`.

    Args:
        text: any text, e.g. the message of a database driver.
        addresses: whose passwords are hidden also where they stand alone, or decoded.
    """
    for secret in sorted({s for a in addresses for s in _secrets(a)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return ADDRESS.sub(_without, text) if "://" in text else text


def hidden_in(value: Any) -> Any:
    """A nested value of dicts, lists and texts with every text `hidden`."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, dict):
        return {key: hidden_in(below) for key, below in value.items()}
    return [hidden_in(below) for below in value] if isinstance(value, list | tuple) else value


def _without(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    place, mark, fragment = rest.partition("#/")  # the page of a web application has no password
    user = USER.match(place)
    if user:
        # A query may hold an @ as well: what stands before it is hidden with the user's part.
        place = f"{HIDDEN}@{place[user.end() :]}"
    return scheme + SECRET.sub(rf"\1{HIDDEN}", place) + mark + fragment


def _secrets(address: str) -> set[str]:
    """The passwords of one address, as written and decoded."""
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
    return {s for s in found if len(s) >= SHORTEST}
