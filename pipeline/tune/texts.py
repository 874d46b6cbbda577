"""Texts of `make tune`: faults of a space and of the command line, lines of the terminal, and the report.

Owns every text that a user of `make tune` sees, as templates with named placeholders. Does not own when a
text is shown, or the report's template (`templates/tuning.html`).
"""

# --- The command line
FORMER = "{name}={value}: {name} is now called TIME"
FORMER_NAMES = "tune: a budget of time has one name in every command, TIME"
TRIALS = "TRIALS={trials}: must be at least 1"
JOBS = "JOBS={jobs}: must be from 1 to 64"
LIMITS = "tune: {faults} in the limits"
UNKNOWN_STAGE = "STAGE={name} cannot be tuned"
OVERRIDES = "tune: these overrides are also varied by the search space"
OVERRIDE_REMEDY = "leave them out, or edit a copy of the space: SPACE=mine.yaml"
TIME_SHORT = "TIME={limit:g}s is too short: one trial of {stage} takes about {seconds:.0f} s"
TIME_REMEDY = 'raise TIME, or make a trial cheaper: ARGS="train.folds=[0]", a smaller model'
UNKNOWN_STUDY = "STUDY={name}: no such study"
BAD_STUDY_NAME = "STUDY={name!r}: its report cannot have this name: {fault}"
BAD_STUDY_REMEDY = "leave out STUDY: the study of a space has a name of its own"
UNKNOWN_STUDY_REMEDY = "leave out STUDY: the study of a space is found automatically, or created"
BUDGET_MISSING = "STAGE=all needs a TIME"
BUDGET_ONLY = "tune: STAGE=all accepts no limit except TIME and TRIALS"
FOR_ONE_STAGE = "{name} is for one stage only"
BUDGET_SHORT = "TIME={budget:g}s is too short for any stage"
BUDGET_NEEDS = "{name}: needs about {minutes} min"
NO_STAGE = "tune: no stage can be tuned"

# --- Faults of a space by itself
NO_FILE = "{path}: no such file"
NOTHING_PLANTED = "make tune STAGE=error-analysis plants wrong classes and finds them again, and competition.target={target} has none"
OTHER_SEARCHES = "tune another stage: eda, resample, train, tta, ensemble, decision"
SHIPPED = "configs/tune/ contains the spaces that are shipped"
SPACE_FAULTS = "{path}: {faults}"
SPACE_FORMAT = "docs/tuning.md describes the format"
SEED = "{path}: seeds cannot be tuned, because the best seed is luck"
SET_TWICE = "{path}: is also set in `settings`"
CHOICE_TWICE = "{path}: lists a choice twice"
WORD_TWICE = "{path}: lists a word twice"
ALWAYS_AND_OF = "{path}: {words} is in `always` and in `of`"
WHEN_LATER = "{path}: `when` names {parent}, which is not an entry above it"
NOT_IN_SPACE = "known_good: {path} is not in the space"
NOT_A_CHOICE = "{path}: {word!r} is not a choice"
EMPTY = "is empty: name at least one setting to vary"
PRUNER = "pruner: {pruner}: trials with a second objective cannot be pruned; use pruner: none"
ENDLESS = "sampler: {sampler} tries every point, so it needs a step for {paths}"
SEED_TWICE = "retest_seeds: lists a seed twice"
LOW_HIGH = "low {low:g} is not below high {high:g}"
LOG_LOW = "log needs low above 0, not {low:g}"
LOG_STEP = "log and step cannot be combined"
WHOLE = "type int needs whole numbers for low, high and step"

# --- Faults of a space against the settings
LEFT_OUT = "{path}={value}: left out: {why}"
NO_CHOICE_LEFT = "{path}: the settings allow none of its choices"
ONE_VALUE = "space: {names}: one value only, so there is nothing to vary"
NOTHING_LEFT = "space: nothing is left to vary"
WHEN_NOT_VARIED = "{path}: `when` names {parent}, which is not varied; {hint}"
WHEN_NEVER = "{path}: `when` asks for {parent}={value!r}, which is not one of its choices"
NO_SETTING = "no such setting; {hint}"
WHOLE_SECTION = "is a section; name one of its settings, e.g. {path}.KEY"
OTHER_STAGE = "does not belong to this stage, which varies {sections}"
NEUTRAL = "changes no result, so it cannot be tuned"
SECOND = "second: {second}: {stage} does not measure time per image; tta, ensemble and decision do"
SEARCH_SEED = "retest_seeds: {seed} is a seed of the search; use seeds that the search did not use"
FULL_UNTRAINED = "full: {stage} does not train, so it has no proxy; eda, resample and train have one"

# --- Lines while a search runs
BEGUN = "tune            {stage}: {title}; {dimensions} dimensions, {trials} trials by {sampler}{done}; default {score:.4f}"
BEGUN_DONE = ", {n} of them done"
STUDY = "    study {name} in {storage}"
EVERY_POINT = "    {n:trial}: every point of the space was tried"
STOPPED = "\nstopped after {n:trial}, which are all kept; continue with: {command}"
BETTER = "    trial {number:<4} {score:.4f}  {settings}"
SO_FAR = "    {done} of {limit} trials done, best {score:.4f}{left}"
TIME_LEFT = ", about {time} left"
LIVE = "{done} of {limit} trials done, {best}{left}"
LIVE_BEST = "best {score:.4f} (trial {number})"
LIVE_NONE = "no score yet"
TRIAL_STOPPED = "trial {number} was stopped after {folds} folds"
ALL_FAILED = "{study}: all of {n} trials failed"

# --- The re-test; `how` is also stored in the study, to distinguish one re-test from another
RETEST_NOTHING = "no trial scored better than the default: nothing to test again"
RETEST_AGAIN = "; this is re-test {n} of the study, and the intervals do not account for repeated tests"
RETEST_SEEDED = "re-test         the default and the best {trials} trials with {seeds} new seeds{folds}: {runs} runs"
RETEST_SEEDED_HOW = "{seeds} new seeds{folds}; intervals for {trials} trials at once{earlier}"
RETEST_EARLIER = ", {n} of earlier studies among them"
RETEST_OTHER_FOLDS = ", on folds {folds} that the search never saw"
RETEST_NEW_FOLDS = ", on newly dealt folds"
RETEST_PLANTED = "re-test         {n} new sets of planted faults in the other half of the groups"
RETEST_PLANTED_HOW = "{n} new plantings in groups the search never saw; intervals for {trials} trials at once"
RETEST_CROSSFIT = "re-test         the search of {trials} trials cross-fitted: once for each of {parts} parts"
RETEST_CROSSFIT_HOW = "the search of {trials} trials cross-fitted by group in {parts} parts"
NO_NEW_IMAGES = "re-test: the other folds validate no image that is new to the search"
NO_NEW_IMAGES_REMEDY = "leave out train.folds, so that the re-test makes new folds"

# --- Full trainings that check a proxy
FULL_FEW = "the proxy was not compared with full training: there are fewer than {fewest} different scores"
FULL_BEGUN = "full training   {n} trials from best to worst as {experiment}, folds {folds}: does the proxy rank them the same way?"
FULL_FAILED = "trial {number} cannot be trained in full: {why}"
FULL_UNKNOWN = "the proxy could not be checked: {fewest} full trainings are needed"
FULL_LATER = "the proxy was not compared with full training; make tune STAGE={stage} does that"
FULL_WHERE = "{n} trials from best to worst, trained in full ({experiment}, folds {folds})"
FULL_SAME = "{where}, all have the same score"
FULL_CORRELATION = "the proxy's rank correlation with full training: {rho:+.2f} (Spearman; {p:.1%} of random orders reach it) over {where}: {pairs}"
FULL_BEST = "the proxy's best trial, trained in full on these folds, against the default: {comparison}"

# --- One budget for all stages
SHARE_SHORT = "needs {minutes} min, more than its share"
NEEDS_MORE = "needs {minutes} min more"
NEEDS = "needs {minutes} min"
RETEST_SHORT = "searched, but not re-tested and so not adopted: the re-test needs {minutes} min"
BUDGET_LINE = "tune all        {spent:.1f} of {budget:g} min, {share:.0%} reserved for re-tests"
STAGE_LINE = "    {name:<10} {trials:>3} trials  {seconds:6.0f} s  {outcome}"
NOT_TUNED = "not tuned: {why}"
NO_TIME = "no time was left"
NOTHING_BETTER = "nothing better: {how}"
RETESTED = "re-tested {comparison}; {adopt}"
ADOPT_ONE = "adopt: experiment={name}"
ADOPT_NONE = "nothing to adopt"

# --- The winners
HEADER = """\
{title} of {experiment} on {competition}, tuned: {changed}
  study {study}, trial {trial}
  search     {metric} {naive:.4f} against {default:.4f} (optimistic: these scores chose the trial)
  re-tested  {metric} {retested:.4f} against {default_retested:.4f}: {comparison}
  re-test: {how}
  {command}"""
TESTED_ALONE = "    each winner was tested alone, not yet in combination"
TEST_TOGETHER = "    to test them together, with seeds that were not used to choose them:"
COMBINE = "    to combine them and compare with the best run so far:"
ONLY_FOR = "    {name} is for experiment={experiment} only: {why}"
GRID_ABOUT = "Do {names} improve the score together?"

# --- The report
TITLE = "{competition}: tuning of {stage}"
HEADLINE_BETTER = "Trial {trial} is better than the default: {delta} in the re-test"
HEADLINE_NOT_BETTER = "Nothing better was found: the best trial differs by {delta} in the re-test"
HEADLINE_NONE = "Nothing better was found: no trial scored better than the default"
LINE_DEFAULT = "    default      {default:.4f} in the search, {retested:.4f} re-tested"
LINE_TRIAL = "    trial {trial:<6} {naive:.4f} in the search (optimistic), {score:.4f} re-tested: {delta}: {verdict}; {settings}"
LINE_HOW = "    re-test: {how}"
LINE_ADOPT = "adopt it with: {command}"
LINE_REPORT = "report: {path}"
FRONT = "{n:setting} on the Pareto front of {metric} and {second}: see the report; the re-test and the winner use {metric} only"
TRIAL_TIP = "trial {number}: {score:.4f}{second}; {settings}"
WHISKERS = "{metric} minus that of the default, re-tested"

# --- The record of runs
RUN_WHAT = "search of {title}"
RUN_OPEN = "not re-tested yet: scores are optimistic"
