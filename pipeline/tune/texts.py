"""Texts of `make tune`: faults of a space and of the command line, lines of the terminal, and the report.

Owns every text that a user of `make tune` sees, as templates with named placeholders. Does not own when a
text is shown, or the report's template (`templates/tuning.html`).
"""

from pipeline.core.language import _

# --- The command line
FORMER = _("{name}={value}: {name} is now called TIME")
FORMER_NAMES = _("tune: a budget of time has one name in every command, TIME")
TRIALS = _("TRIALS={trials}: must be at least 1")
JOBS = _("JOBS={jobs}: must be from 1 to 64")
LIMITS = _("tune: {faults} in the limits")
UNKNOWN_STAGE = _("STAGE={name} cannot be tuned")
OVERRIDES = _("tune: these overrides are also varied by the search space")
OVERRIDE_REMEDY = _("leave them out, or edit a copy of the space: SPACE=mine.yaml")
TIME_SHORT = _("TIME={limit:g}s is too short: one trial of {stage} takes about {seconds:.0f} s")
TIME_REMEDY = _('raise TIME, or make a trial cheaper: ARGS="train.folds=[0]", a smaller model')
UNKNOWN_STUDY = _("STUDY={name}: no such study")
BAD_STUDY_NAME = _("STUDY={name!r}: its report cannot have this name: {fault}")
BAD_STUDY_REMEDY = _("leave out STUDY: the study of a space has a name of its own")
UNKNOWN_STUDY_REMEDY = _("leave out STUDY: the study of a space is found automatically, or created")
BUDGET_MISSING = _("STAGE=all needs a TIME")
BUDGET_ONLY = _("tune: STAGE=all accepts no limit except TIME and TRIALS")
FOR_ONE_STAGE = _("{name} is for one stage only")
BUDGET_SHORT = _("TIME={budget:g}s is too short for any stage")
BUDGET_NEEDS = _("{name}: needs about {minutes} min")
NO_STAGE = _("tune: no stage can be tuned")

# --- Faults of a space by itself
NO_FILE = _("{path}: no such file")
NOTHING_PLANTED = _("make tune STAGE=error-analysis plants wrong classes and finds them again, and competition.target={target} has none")
OTHER_SEARCHES = _("tune another stage: eda, resample, train, tta, ensemble, decision")
SHIPPED = _("configs/tune/ contains the spaces that are shipped")
SPACE_FAULTS = _("{path}: {faults}")
SPACE_FORMAT = _("docs/tuning.md describes the format")
SEED = _("{path}: seeds cannot be tuned, because the best seed is luck")
SET_TWICE = _("{path}: is also set in `settings`")
CHOICE_TWICE = _("{path}: lists a choice twice")
WORD_TWICE = _("{path}: lists a word twice")
ALWAYS_AND_OF = _("{path}: {words} is in `always` and in `of`")
WHEN_LATER = _("{path}: `when` names {parent}, which is not an entry above it")
NOT_IN_SPACE = _("known_good: {path} is not in the space")
NOT_A_CHOICE = _("{path}: {word!r} is not a choice")
EMPTY = _("is empty: name at least one setting to vary")
PRUNER = _("pruner: {pruner}: trials with a second objective cannot be pruned; use pruner: none")
ENDLESS = _("sampler: {sampler} tries every point, so it needs a step for {paths}")
SEED_TWICE = _("retest_seeds: lists a seed twice")
LOW_HIGH = _("low {low:g} is not below high {high:g}")
LOG_LOW = _("log needs low above 0, not {low:g}")
LOG_STEP = _("log and step cannot be combined")
WHOLE = _("type int needs whole numbers for low, high and step")

# --- Faults of a space against the settings
LEFT_OUT = _("{path}={value}: left out: {why}")
NO_CHOICE_LEFT = _("{path}: the settings allow none of its choices")
ONE_VALUE = _("space: {names}: one value only, so there is nothing to vary")
NOTHING_LEFT = _("space: nothing is left to vary")
WHEN_NOT_VARIED = _("{path}: `when` names {parent}, which is not varied; {hint}")
WHEN_NEVER = _("{path}: `when` asks for {parent}={value!r}, which is not one of its choices")
NO_SETTING = _("no such setting; {hint}")
WHOLE_SECTION = _("is a section; name one of its settings, e.g. {path}.KEY")
OTHER_STAGE = _("does not belong to this stage, which varies {sections}")
NEUTRAL = _("changes no result, so it cannot be tuned")
SECOND = _("second: {second}: {stage} does not measure time per image; tta, ensemble and decision do")
SEARCH_SEED = _("retest_seeds: {seed} is a seed of the search; use seeds that the search did not use")
FULL_UNTRAINED = _("full: {stage} does not train, so it has no proxy; eda, resample and train have one")

# --- Lines while a search runs
BEGUN = _("tune            {stage}: {title}; {dimensions} dimensions, {trials} trials by {sampler}{done}; default {score:.4f}")
BEGUN_DONE = _(", {n} of them done")
STUDY = _("    study {name} in {storage}")
EVERY_POINT = _("    {n:trial}: every point of the space was tried")
STOPPED = _("\nstopped after {n:trial}, which are all kept; continue with: {command}")
BETTER = _("    trial {number:<4} {score:.4f}  {settings}")
SO_FAR = _("    {done} of {limit} trials done, best {score:.4f}{left}")
TIME_LEFT = _(", about {time} left")
LIVE = _("{done} of {limit} trials done, {best}{left}")
LIVE_BEST = _("best {score:.4f} (trial {number})")
LIVE_NONE = _("no score yet")
TRIAL_STOPPED = _("trial {number} was stopped after {folds} folds")
ALL_FAILED = _("{study}: all of {n} trials failed")

# --- The re-test; `how` is also stored in the study, to distinguish one re-test from another
RETEST_NOTHING = _("no trial scored better than the default: nothing to test again")
RETEST_AGAIN = _("; this is re-test {n} of the study, and the intervals do not account for repeated tests")
RETEST_SEEDED = _("re-test         the default and the best {trials} trials with {seeds} new seeds{folds}: {runs} runs")
RETEST_SEEDED_HOW = _("{seeds} new seeds{folds}; intervals for {trials} trials at once{earlier}")
RETEST_EARLIER = _(", {n} of earlier studies among them")
RETEST_OTHER_FOLDS = _(", on folds {folds} that the search never saw")
RETEST_NEW_FOLDS = _(", on newly dealt folds")
RETEST_PLANTED = _("re-test         {n} new sets of planted faults in the other half of the groups")
RETEST_PLANTED_HOW = _("{n} new plantings in groups the search never saw; intervals for {trials} trials at once")
RETEST_CROSSFIT = _("re-test         the search of {trials} trials cross-fitted: once for each of {parts} parts")
RETEST_CROSSFIT_HOW = _("the search of {trials} trials cross-fitted by group in {parts} parts")
NO_NEW_IMAGES = _("re-test: the other folds validate no image that is new to the search")
NO_NEW_IMAGES_REMEDY = _("leave out train.folds, so that the re-test makes new folds")

# --- Full trainings that check a proxy
FULL_FEW = _("the proxy was not compared with full training: there are fewer than {fewest} different scores")
FULL_BEGUN = _("full training   {n} trials from best to worst as {experiment}, folds {folds}: does the proxy rank them the same way?")
FULL_FAILED = _("trial {number} cannot be trained in full: {why}")
FULL_UNKNOWN = _("the proxy could not be checked: {fewest} full trainings are needed")
FULL_LATER = _("the proxy was not compared with full training; make tune STAGE={stage} does that")
FULL_WHERE = _("{n} trials from best to worst, trained in full ({experiment}, folds {folds})")
FULL_SAME = _("{where}, all have the same score")
FULL_CORRELATION = _("the proxy's rank correlation with full training: {rho:+.2f} (Spearman; {p:.1%} of random orders reach it) over {where}: {pairs}")
FULL_BEST = _("the proxy's best trial, trained in full on these folds, against the default: {comparison}")

# --- One budget for all stages
SHARE_SHORT = _("needs {minutes} min, more than its share")
NEEDS_MORE = _("needs {minutes} min more")
NEEDS = _("needs {minutes} min")
RETEST_SHORT = _("searched, but not re-tested and so not adopted: the re-test needs {minutes} min")
BUDGET_LINE = _("tune all        {spent:.1f} of {budget:g} min, {share:.0%} reserved for re-tests")
STAGE_LINE = _("    {name:<10} {trials:>3} trials  {seconds:6.0f} s  {outcome}")
NOT_TUNED = _("not tuned: {why}")
NO_TIME = _("no time was left")
NOTHING_BETTER = _("nothing better: {how}")
RETESTED = _("re-tested {comparison}; {adopt}")
ADOPT_ONE = _("adopt: experiment={name}")
ADOPT_NONE = _("nothing to adopt")

# --- The winners
HEADER = """\
{title} of {experiment} on {competition}, tuned: {changed}
  study {study}, trial {trial}
  search     {metric} {naive:.4f} against {default:.4f} (optimistic: these scores chose the trial)
  re-tested  {metric} {retested:.4f} against {default_retested:.4f}: {comparison}
  re-test: {how}
  {command}"""
TESTED_ALONE = _("    each winner was tested alone, not yet in combination")
TEST_TOGETHER = _("    to test them together, with seeds that were not used to choose them:")
COMBINE = _("    to combine them and compare with the best run so far:")
ONLY_FOR = _("    {name} is for experiment={experiment} only: {why}")
GRID_ABOUT = "Do {names} improve the score together?"

# --- The report
TITLE = "{competition}: tuning of {stage}"
HEADLINE_BETTER = _("Trial {trial} is better than the default: {delta} in the re-test")
HEADLINE_NOT_BETTER = _("Nothing better was found: the best trial differs by {delta} in the re-test")
HEADLINE_NONE = _("Nothing better was found: no trial scored better than the default")
LINE_DEFAULT = _("    default      {default:.4f} in the search, {retested:.4f} re-tested")
LINE_TRIAL = _("    trial {trial:<6} {naive:.4f} in the search (optimistic), {score:.4f} re-tested: {delta}: {verdict}; {settings}")
LINE_HOW = _("    re-test: {how}")
LINE_ADOPT = _("adopt it with: {command}")
LINE_REPORT = _("report: {path}")
FRONT = _("{n:setting} on the Pareto front of {metric} and {second}: see the report; the re-test and the winner use {metric} only")
TRIAL_TIP = "trial {number}: {score:.4f}{second}; {settings}"
WHISKERS = "{metric} minus that of the default, re-tested"

# --- The record of runs
RUN_WHAT = "search of {title}"
RUN_OPEN = "not re-tested yet: scores are optimistic"
