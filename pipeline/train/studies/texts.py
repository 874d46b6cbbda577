"""What studies say to people: lines, page texts and MLflow notes, as templates with named placeholders."""

ABLATION_RUN = "**What**: {what}\n\n{result}\n\n**Report**: `ablation.html`"
CURVE_RUN = "**Result**: {result}\n\n**Report**: `learning_curve.html`"
CURVE_SHARE = "train.group_share: the learning curve sets it for each point"
