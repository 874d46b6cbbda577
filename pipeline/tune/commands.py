"""`make tune`: search the settings of one stage, or of all stages within one budget of time.

Owns the choice between the two. Does not own searching (`tune/search.py`, `tune/budget.py`).
"""

from __future__ import annotations

import argparse

from pipeline.engine import next_step
from pipeline.engine.executors.chosen import executor_of_jobs
from pipeline.engine.session import Session
from pipeline.pages.command_words import spoken
from pipeline.tune import budget, running, search, winners
from pipeline.tune.search_record import SearchRecord

Options = argparse.Namespace


def tune(session: Session, options: Options) -> None:
    """Search the settings of one stage, or of all stages within a budget."""
    if options.stage == "all":
        budget.tune_all(session, options)
        return
    if options.jobs > 1:
        source = session.executor.source
        assert source is not None, "the session of a command knows the catalogue"
        session.use(executor_of_jobs(options.jobs, session.settings.config.runtime, source))
    prepared = search.prepare(session, options, options.stage)
    study = search.begin(session, prepared, options.study)
    with SearchRecord(session, prepared.bench, study, prepared.command) as record:
        running.run_trials(prepared, study, session.say, record=record)
        _, written = search.finish(session, prepared, study, record)
    if written is None:
        next_step.say(session, winners.NEXT[prepared.bench.kind.name])
    else:
        command = spoken(winners.adopt_command(prepared.bench, written.stem))
        session.end_with(next_step.NEXT.format(command=command))
