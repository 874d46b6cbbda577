"""Texts about differences that are written in Python: the conclusion, and the section Truth.

Each is a template with named placeholders. The HTML templates are in `errors/templates/`.
"""

# The conclusion: its word, the rest of the headline, and what it is based on.
FIRST = "First submission"
FIRST_DETAIL = "There is no earlier submission to compare it with."
SAME, SAME_REST = "Same predictions", "as the best submission"
SAME_DETAIL = "All {count} predictions agree."
UNCLEAR = "Can't tell"
UNCLEAR_REST = "which is better: this needs out-of-fold predictions of both"
UNDECIDED = "Can't tell:"
UNDECIDED_REST = "{delta} {metric}, and {reason}"
CONTAINS_ZERO = "the interval contains zero"
ONE_GROUP = "one group is not enough for an interval"
DECIDED = "{conclusion} by {delta:.4f}"
DETAIL = "95 % interval {low} to {high}, out of fold with {groups} resampled; better in {share} of the resamples. {changed}"
CHANGED = "{flips} of {predictions} differ."
CAUTION = " Caution: {note}."

# Advice that was followed.
FOLLOWED = "followed advice for {about}: {settings}{bound}; gained {gain}"
FOLLOWED_BOUND = ", at most {bound}"

# The section Truth.
TRUTH_TITLE = "Out of fold, where the truth is known"
BROKEN, FIXED = "only the best is right", "only the new one is right"
BOTH_WRONG, WRONG = "both wrong", "wrong"
TRUTH_SENTENCE = "{fixed} images fixed, {broken} broken: {conclusion} (accuracy {change} points, 95 % interval {low} to {high}; signs of whole groups flipped)."
MORE_RIGHT = "more images are right than before"
FEWER_RIGHT = "fewer images are right than before"
RIGHT_UNKNOWN = "can't tell whether more images are right"
