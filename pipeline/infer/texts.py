"""Texts of `infer/` for people: lines of the terminal and of MLflow, as templates with named placeholders."""

from pipeline.core.language import _

VIEW = _("view {name}  OOF {score:.4f}  weight {weight:.2f}  {ms_per_image:.2f} ms per image")
VIEWS_GAIN = _("{views} views against one: {gain}")
FITTED_GAIN = _("fitted weights against equal ones: {gain}; naive {naive:.4f} (optimistic)")
COST = _("{ms_per_image:.1f} ms per image for all views and folds; in batches of 64 {ms_64:.1f}, alone {ms_1:.1f}; {millions:.1f} M parameters")
INFER_WHAT = "`{experiment}` over the views {views}"
REFIT_ANNOUNCED = _("refit           {experiment}: one training on all {images:image}")
REFIT_SCORE = _("no out-of-fold score of its own; the cross-validation score is {score:.4f} (infer {key})")
REFIT_COST = _("{ms:.1f} ms per image for all views, {ms_folds:.1f} with the models of the folds")
REFIT_WHAT = "`{experiment}` trained on all data, over the views {views}"
REFIT_WHY = "do the images that each fold holds out improve the test predictions?"
ROBUSTNESS_WHAT = "`{experiment}` on corrupted images"

ROBUSTNESS_SHORT = _("Robustness")
ROBUSTNESS_TITLE = _("Robustness to corrupted images")
NOT_WORSE = _("{curve}: no strength differs significantly from clean images")
WORSE_FROM = _("{curve}: worse from {first:g} on; {change} at {last:g}")
UNDER = _("{metric} under {kind}")
CLEAN = _("clean")
CURVES = {"blur": _("blur"), "noise": _("noise"), "JPEG": _("JPEG"), "darker": _("darker"), "brighter": _("brighter")}
UNITS = {"blur": _("blur, px"), "noise": _("noise, share of white"), "JPEG": _("JPEG quality"), "darker": _("brightness, factor"), "brighter": _("brightness, factor")}
