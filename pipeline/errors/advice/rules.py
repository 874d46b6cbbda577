"""What to try next: every rule's answer, and the order of them.

Owns the list of rules and how their answers are put in order. Does not own the rules (`advice_faults.py`:
something is wrong; `advice_steps.py`: something could be better), the facts and bounds (`advice_facts.py`)
nor the commands' words (`advice_words.py`).

The order: first what spoils every other figure (leaky folds); then by what a try is expected to bring a
minute: the bound of the gain × the chance that the remedy brings a good part of it, by the minutes that the
command takes and ten of the person's own. Advice without a bound comes last.
"""

from collections.abc import Callable

from pipeline.errors.advice import faults, steps
from pipeline.errors.advice.facts import Advice as Advice
from pipeline.errors.advice.facts import Facts

Rule = Callable[[Facts], Advice | None]

BEST = 3
STRONGER = ("medium", "heavy")
RULES: tuple[Rule, ...] = (*faults.RULES, *steps.RULES)


def advise(facts: Facts, rules: tuple[Rule, ...] = RULES) -> tuple[Advice, ...]:
    """Everything worth trying, best first; nothing where nothing is known.

    Two rules may come to the same command: it is said once, with the better evidence.
    """
    found = [advice for advice in (rule(facts) for rule in rules) if advice is not None]
    ordered = sorted(found, key=lambda a: (not a.spoils, -a.worth))
    once = {(a.command, a.show): a for a in reversed(ordered)}
    return tuple(a for a in ordered if once[a.command, a.show] is a)
