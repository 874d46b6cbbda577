"""A drawing that can be drawn again with its texts in another language.

Owns that, and the sentence in the place of a drawing. Does not own any shape (`pages/plots.py`), nor when a
page needs another language (`pages/report.py`, which for that reason must not import all shapes).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec

from markupsafe import Markup

from pipeline.core.language import ENGLISH, _, throughout

P = ParamSpec("P")


class Drawing(Markup):
    """A drawing that knows how to draw itself again with its texts in another language."""

    again: Callable[[str], Markup]

    def said(self, language: str) -> Markup:
        """The drawing in this language."""
        return self if language == ENGLISH else self.again(language)


def drawn(draw: Callable[P, Markup]) -> Callable[P, Markup]:
    """A function whose drawings can be drawn again: labels, titles and axes may be texts."""
    signature = inspect.signature(draw)

    @functools.wraps(draw)
    def first(*args: P.args, **kwargs: P.kwargs) -> Drawing:
        made = Drawing(draw(*args, **kwargs))
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()

        def again(language: str) -> Markup:
            told = draw(*throughout(given.args, language), **throughout(given.kwargs, language))
            return told.said(language) if isinstance(told, Drawing) else told

        made.again = again
        return made

    return first


@drawn
def _instead(text: str) -> Markup:
    """A sentence in the place of a drawing."""
    return Markup('<p class="muted">{}</p>').format(text)


EMPTY = _instead(_("Nothing to draw."))
