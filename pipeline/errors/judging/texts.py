"""Texts of judging that are written in Python: the estimate in words, and messages about a file of verdicts.

Each is a template with named placeholders. The HTML templates are in `errors/templates/`.
"""

# The estimate.
INTERVAL = "{delta} [{low}, {high}]"
JUDGED = "{judged} of {flips} judged{unsure}; {controls}"
UNSURE = ", {count} of them unsure"
NO_CONTROLS = "your own errors were not measured"
CONTROLS = "{wrong} of {controls} answered wrongly, {correction}"
CORRECTED, NOT_CORRECTED = "and the estimate is corrected for it", "too few controls to correct for it"
SHARES = (
    "Of all flips, the new prediction is right in {new}, the prediction of the best submission in {old}, "
    "neither in {neither}."
)
LINE = "{conclusion}, new − best {number} on the test images{caution}; {judged}"
CAUTION = " (caution: {note})"
DETAIL = "{detail} Judged by eye: {line}."
UNDECIDED, DECIDED = "Can't tell:", "{conclusion}:"
REST = "{delta} {metric} from the judged flips"
FEW_JUDGED = "{judged} judged: judge at least {enough}"
ASSUMED_CORRECT = "Too few controls were judged, so the verdicts are taken as correct."
ASSUMED_AGREED = (
    "There are no out-of-fold predictions, so predictions on which both agree are taken as correct."
)
ASSUMED_OOF = (
    "Where both agree, the prediction is assumed to be wrong as often as out of fold; the test images may be "
    "easier or harder."
)

# A file of verdicts.
EXPORT = "export the verdicts from the section Judging of the error report"
REMEDY = "export the verdicts of the page again, or fix these lines"
REMEDY_STORED = "fix these lines, or delete them"
FAULTS = "{name}: {count}; no verdict was stored"
STORED = "verdicts        {flips} flips and {controls} controls from {file}; {all} verdicts in {path}"
LINE_FAULT = "line {line}: {fault}"
REPEATED = "{id!r} is repeated; it is first on line {first}"
UNKNOWN_VALUE = "{attribute} {value!r} is not a value; {hint}"
KNOWN_VALUES = "known: {values}"
NOT_YES_OR_NO = "{column} is {value!r}; it must be yes or no"
NO_ID = "the id is empty"
EMPTY_BUT_SURE = "a value is empty, but unsure is no"
UNSURE_BUT_FULL = "unsure is yes, but every value is given"
BAD_INCLUSION = "inclusion {value!r} is not a probability above 0"
OTHER_PAIR = "report {report!r} compares other submissions"
UNKNOWN_CONTROL = "{id!r}: a control, but no training image has this id"
CONTROL_WITH_STRATUM = "{id!r}: a control must have no stratum and no inclusion probability"
NOT_A_FLIP = "{id!r}: the predictions of no image with this id differ"
NOT_ASKED = "{id!r}: report {report} did not ask about this image"
OTHER_STRATUM = "{id!r}: stratum {given!r}, but the report asked with {asked!r}"
OTHER_INCLUSION = "{id!r}: inclusion probability {given}, but the report asked with {asked:.6f}"
ONLY_HEADER = "the file has only a header"
NAME_THE_PAIR = "give the two submissions that were judged: {command}"
FILE_IS_ABOUT = "the file is about these submissions: {command}"
NOTHING_JUDGED = "no flip was judged"
JUDGE_FIRST = "judge some flips in the error report first"
NEEDS_PROBABILITIES = "{metric} needs probabilities, and one submission has none"
COMPARE_OWN = "compare submissions that were made here and still have their .json file"
