"""Texts of the resampling report and of the preview.

Owns the words, with named placeholders. Does not own when they apply (`resample/page.py`,
`resample/preview_page.py`, `resample/stages.py`) nor the pages around them (`resample/templates/`). Text in
backticks is shown as code.
"""

from pipeline.core.language import _

# The resampling report.
TITLE = "{title}: resampling"
STAGE_WHAT = "resampling of each fold's training part"
STAGE_NEXT = "make train"
EXTRA_ROWS = _("{images:.0f} images from elsewhere are among the training rows")
OTHER_LABELS = _("{labels:.0f} training labels differ from the labels that are scored")
NONE_HEADLINE = _("Nothing is resampled: an epoch shows {before} images, {skew} from largest to smallest class")
NONE_ANSWER = _("Compare `{over}` and `{under}`.")
HEADLINE = _("An epoch shows {after} instead of {before} images; largest to smallest class {ratio:.1f} : 1 instead of {skew}")
HEADLINE_COPIES = _("; {copies} are offline copies")
HEADLINE_SYNTHETIC = _("; {synthetic} are synthetic feature rows")
SYNTHETIC_ANSWER = _("Compare with `resample.method=over`, which repeats images instead of mixing them.")
COPIES_ANSWER = _("A copy shows the same pixels in every epoch. Compare with the same policy online, which draws new pixels in every epoch: `augment.policy={policy}`.")
OVER_ANSWER = _("The rarest images are shown up to {most:.1f} times per epoch: augmentation must vary them.")
FEATURES_ANSWER = _("The rows that remain were chosen by features; compare with random draws: `resample.method=under`.")
OWN_ANSWER = _("The rows were chosen by your own sampler; compare with `resample.method=under` and `over`.")
UNDER_ANSWER = _("The rows that are left out are {drawn} (resample.redraw); with fewer images per epoch, more epochs may be needed.")
DRAWN_AGAIN, DRAWN_ONCE = _("drawn again in each epoch"), _("the same in each epoch")
ROWS_PLOT = "Images of each class in an epoch, mean over folds"
BEFORE, AFTER = "before", "after"

# The preview.
PREVIEW_TITLE = "{title}: what training sees"
PREVIEW_HEADLINE = _("{crop}{resize} to {width} × {height} px, {steps}then policy {policy} ({changes}){mixed}")
PREVIEW_CROP = _("crop {method}, ")
PREVIEW_MIX = _(", mixed by {method} (partner {partner})")
NO_CHANGE = _("nothing")
CROP_LINE = _("crop: {splits}")
CROP_SPLIT = _("{split}: {whole} of {boxes} completely inside")
PREVIEW_NOTE = "**What**: {images}, {headline}.\n\n**Next**: `make train`.\n\n**Report**: `preview.html`, {rows} rows in `preview.png`"

# Strata of labels and values.
NO_LABEL = "no label"
RANGE = "{name}, range {number} of {n}"
