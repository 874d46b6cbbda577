"""Everything wrong with a competition's files, gathered and told at once.

Owns collecting faults by kind and choosing which are shown. Does not own finding them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.core.errors import SHOWN_FAULTS, DataError

REMEDY = "mend the files, or the names in competition.* (tables, columns, values, image folders)"


@dataclass
class Faults:
    """A growing list of (kind, text); kinds are plural, e.g. `missing images`."""

    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, kind: str, text: str) -> None:
        """Note one fault."""
        self.found.append((kind, text))

    def __len__(self) -> int:
        return len(self.found)

    def error(self, what: str) -> DataError:
        """One error of all faults, by kind; where not all can be shown, some of every kind come first.

        Args:
            what: whose faults these are, e.g. `competition pets in data/pets`.
        """
        kinds: dict[str, list[str]] = {}
        for kind, text in self.found:
            kinds.setdefault(kind, []).append(text)
        told = ", ".join(f"{len(texts)} {kind}" for kind, texts in kinds.items())
        many = len(self.found) > SHOWN_FAULTS
        share = max(SHOWN_FAULTS // len(kinds), 1) if many else len(self.found)
        first = [text for texts in kinds.values() for text in texts[:share]]
        rest = [text for texts in kinds.values() for text in texts[share:]]
        return DataError(f"{what}: {told}", first + rest, REMEDY)
