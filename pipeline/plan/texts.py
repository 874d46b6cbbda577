"""Texts of a budget of time: faults of TIME, lines of the terminal, and the page.

Owns every text that a user of `TIME=…` and `make improve` sees, as templates with named placeholders. Does
not own when a text is shown, or the page's template (`templates/plan.html`).
"""

from pipeline.core.language import _

# --- Times
MINUTES, HOURS = _("{n:.1f} min"), _("{n:.2f} h")

# --- TIME
TIME_MISSING = _("this command needs TIME: the time that it may spend")
TIME_MISSING_REMEDY = _("e.g. TIME=30m; the least is TIME=1m")
TIME_SHORT = _("TIME={time} is too short: the least is TIME={least}")
FIRST_SHORT = _("TIME={seconds:g}s is too short for the first submission ({name}): the least is TIME={least}")
RAISE_TIME = _("raise it: TIME={least}")
NO_RECIPE = _("TIME: no recipe can be trained here")
FAILED_BEFORE = _("failed, see above")
TIME_AND_EPOCHS = _("TIME and train.epochs both say how long training takes")
TIME_AND_EPOCHS_REMEDY = _("leave one of them out")
GO_ON = _("                the next command trains the rest of it, with the same epochs")
TIME_AND_FOLDS = _("TIME: train.folds={folds} trains some folds only, and a member of a blend needs all of them")
TIME_AND_FOLDS_REMEDY = _("leave out train.folds")
TIME_AND_EXPERIMENT = _("TIME: {words} names one experiment, and a budget of time trains the recipes of a portfolio")
TIME_AND_EXPERIMENT_REMEDY = _("leave it out; make train TIME=… trains one experiment, and ensemble.members=[…] or PORTFOLIO=… chooses the members")
NO_EPOCH_FITS = _("TIME={seconds:g}s is too short: the fewest epochs of {name} need about {least}")
NO_EPOCH_FITS_REMEDY = _("raise TIME, or make training cheaper: smaller images, fewer folds")

# --- The plan
AT_SIZE = _("{name} at {size} px")
MORE_VIEWS = _("{name}, more views")
TIMES = _("time            {seconds} for {command}, until {end}; {portfolio}")
OF_PORTFOLIO = _("recipes of configs/portfolio/{name}.yaml")
OF_USER = _("the members of ensemble.members")
FOLDS_FEWER = _("    folds.n={n}: with {before} folds the first network would take more than half of the time (folds.n=… in ARGS keeps yours)")
PLANNED = _("plan            until {end}: {left} left, {members} for members, {kept} kept for the end")
PLANNED_AGAIN = _("plan again      until {end}: {left} left, {members} for members, {kept} kept for the end")
HEAD = (_("member"), _("px"), _("epochs"), _("folds"), _("views"), _("expected"))
LEFT_OUT = _("    left out: {name}: {why}")
NEEDS = _("needs about {time}")
NOT_TIMED = _("not timed yet")
GOES_ON = _("go on           {name}, which an earlier command began: about {seconds} of {left}")
BEGINS = _("begin           {name}: about {seconds} of {left}")
FEWER_VIEWS = _("                {name}: {n:view} instead of {before}: there is time for no more")
PAUSED = _("paused          {name}: after {done} of {epochs} epochs it was clear that it would not end in time; nothing of it is lost, and it goes on when TIME is given again")
PAUSED_FEATURES = _("paused          {name}: its features would not have ended in time; those that are there are kept for when TIME is given again")
PAUSED_NOTE = _("paused: it would not have ended in time")
FAILED = _("failed          {name}: {why}")
REUSED = _("reused          {n:finished member} on these data and folds")
STEP = _("{at:>9}       {name}: {own}{blend}; {where}")
OWN_SCORE = _("alone {score:.4f}, ")
BLEND_SCORE = _("all together {metric} {score:.4f} [{low:.4f}, {high:.4f}]")
BEST_AT = _("the best so far: {path}")
NOT_BETTER = _("not better than before")
BEFORE = _("what was there before")
STOPPED = _("\nstopped; the best so far is {path} ({metric} {score:.4f}). It goes on with another TIME=…, e.g. the same command again")
STOPPED_EARLY = _("\nstopped before the first submission; finished results are kept")
NOT_OURS = _("{file} was not written here, or was changed since: it stays as it is")

# --- The end
BOUGHT = _("what each minute bought (all intervals hold at once):")
BOUGHT_STEP = _("{at:>9}  {name:<28} {score}{gain}")
BOUGHT_IN_VAIN = _("{line}; {why}")
BOUGHT_NOTHING = _("{at:>9}  {name:<28} {why}")
SCORE = _("{score:.4f} [{low:.4f}, {high:.4f}]")
GAIN = _("  {gain}; {minute} a minute")
ENDED = _("ended           after {spent} of {seconds} ({share:+.1%}); {left}")
TRAINED = _("the epochs were chosen to fit")
TRAINED_ON = _("with the epochs of a training that had begun; the same command again trains as many as fit")
TRAINED_HEAD = _("a head on features keeps its own epochs")
ENDED_FULL = _("nothing else would have ended in time")
ENDED_EARLY = _("nothing that fits is left to try")
PAGE = _("report: {path}")

# --- The page
TITLE = _("{competition}: what {time} bought")
HEADLINE = _("{metric} {score:.4f} after {spent}: {members:member} in the blend")
LEAD = _("TIME={time}. Every score is out of fold; that of a blend is cross-fitted. A step is named where it ended.")
NOISE = "can't tell"
INSIDE = _("inside the noise")
PICTURE, PICTURE_X = _("score over time"), _("minutes")
DOT, DOT_GAIN = _("{name}: {score:.4f}"), _("{name}: {score:.4f}, {gain}")
PAGE_WORDS = (_("at"), _("step"), _("took"), _("alone"), _("together"), _("95 % interval"), _("gain, corrected"), _("verdict; gain a minute"))
FIRST = _("the first result")


# --- make improve
NOTHING_TO_IMPROVE = _("improve: there is no submission that was made here")
NOTHING_TO_IMPROVE_REMEDY = _("make all TIME=30m first, or make infer")
NOT_READ_AGAIN = _("improve: the run that the report is about ({name}) cannot be asked for again: its settings files were changed or deleted")
NOT_READ_AGAIN_REMEDY = _("train it again, or restore its files")
IMPROVING = _("improve         {path}: {metric} {score:.4f}; about {name}")
MOVES = _("advice          on {name}, in the order in which it is tried:")
MOVE = _("    {name:<44} {gain}, about {seconds}{paid}")
MOVE_BOUND, MOVE_HOPE = _("at most {bound:+.4f}"), _("no bound is known")
MOVE_PAID = _("; such advice paid {paid} of {tried} times")
MOVE_LEFT_OUT = _("    left out: {name}: {why}")
SAME_RUN = _("it changes no run, but perhaps what follows one; the report has its command")
CARRIED_OUT = _("carried out     {name}: {comparison}; {kept}")
KEPT_RUN = _("kept, in the blend")
KEPT_BLEND = _("kept: not better alone, but the blend with it is: {comparison}")
NOT_KEPT = _("not kept")
HONEST = _("Cross-fitted over the whole choice of members: {metric} {score:.4f} [{low:.4f}, {high:.4f}]")
NO_ADVICE_LEFT = _("no advice that a command can carry out is left; make all TIME=… trains further members of the portfolio")
IMPROVED = _("improve         {kept} of {tried:piece} of advice kept; {metric} {before:.4f} at the beginning, {after:.4f} now")
