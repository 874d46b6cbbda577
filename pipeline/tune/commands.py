"""`make tune`: search the settings of one stage, or of all stages within one budget of time.

Owns the choice between the two. Does not own searching (`tune/tune.py`, `tune/tune_all.py`).
"""

from __future__ import annotations

import argparse

from pipeline.engine.session import Session

Options = argparse.Namespace


def tune(session: Session, options: Options) -> None:
    """Search the settings of one stage, or of all in a budget."""
    if options.stage != "all":
        from pipeline.tune import tune as one

        return one.command(session, options)
    # Imported here: no other command shares a budget.
    from pipeline.tune import tune_all

    return tune_all.command(session, options)
