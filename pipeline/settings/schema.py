"""All settings: the list of sections, and the list of rules between settings.

Owns `Config`, the list of the sections, and the order in which broken rules are reported. Does not own any
field or rule: those of a section are in its own file in this folder. Does not own reading YAML files
and overrides (`settings/load.py`).
"""

from pipeline.settings import (
    competition,
    decision,
    eda,
    ensemble,
    folds,
    images,
    infer,
    inputs,
    learning_curve,
    loss,
    members,
    model,
    report,
    resample,
    runtime,
    submission,
    train,
)
from pipeline.settings.augment import AugmentSettings
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.decision import DecisionSettings
from pipeline.settings.eda import EdaSettings
from pipeline.settings.ensemble import EnsembleSettings
from pipeline.settings.explain import ExplainSettings
from pipeline.settings.fields import Broken, Rule, Section, Sections
from pipeline.settings.folds import FoldSettings
from pipeline.settings.images import CropSettings, ImageSettings, PreprocessSettings, PreviewSettings
from pipeline.settings.infer import InferSettings, RobustnessSettings
from pipeline.settings.learning_curve import CurveSettings
from pipeline.settings.loss import LossSettings
from pipeline.settings.model import ModelSettings
from pipeline.settings.report import FinderSettings, ReportSettings, StatisticsSettings
from pipeline.settings.resample import ResampleSettings
from pipeline.settings.runtime import ReproduceSettings, RuntimeSettings
from pipeline.settings.train import TrainSettings


class Config(Section):
    """All settings."""

    competition: CompetitionSettings = CompetitionSettings()
    images: ImageSettings = ImageSettings()
    crop: CropSettings = CropSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    folds: FoldSettings = FoldSettings()
    resample: ResampleSettings = ResampleSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    infer: InferSettings = InferSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    decision: DecisionSettings = DecisionSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    report: ReportSettings = ReportSettings()
    eda: EdaSettings = EdaSettings()
    finders: FinderSettings = FinderSettings()
    preview: PreviewSettings = PreviewSettings()
    learning_curve: CurveSettings = CurveSettings()
    explain: ExplainSettings = ExplainSettings()
    robustness: RobustnessSettings = RobustnessSettings()
    reproduce: ReproduceSettings = ReproduceSettings()
    runtime: RuntimeSettings = RuntimeSettings()


# Every rule, in the order in which faults are reported.
RULES: tuple[Rule, ...] = (
    resample.settings_of_the_method,
    resample.known_method,
    resample.unread_settings,
    train.features_of_a_probe,
    images.own_preprocessing,
    train.resampling_of_a_probe,
    resample.known_attribute,
    resample.methods_of_the_target,
    competition.known_metric,
    submission.known_format,
    submission.scores_for_the_metric,
    folds.settings_of_the_kind,
    competition.labelled_attributes,
    competition.known_new_class,
    competition.weighted_labels,
    competition.data_sources,
    competition.known_encoding,
    competition.group_pattern,
    model.known_weights,
    model.mean_and_std,
    model.cosine_heads,
    model.cosines_with_metadata,
    decision.decision_steps,
    images.size_within_cache,
    images.shape_of_images,
    images.colours_of_channels,
    inputs.files_of_channels,
    inputs.long_tables,
    inputs.forms_of_several_images,
    inputs.columns_of_metadata,
    competition.columns_of_the_metric,
    images.tiles_of_pictures,
    inputs.pooling_of_images,
    model.normalisation_of_channels,
    images.range_in_order,
    eda.thresholds,
    images.crop_method,
    infer.forbidden_views,
    train.known_folds,
    train.schedule_settings,
    members.one_kind_of_members,
    members.chain_settings,
    members.adopted_test_images,
    members.chain_with_the_loss,
    members.members_of_the_target,
    members.unlabelled_images,
    members.distillation,
    learning_curve.ascending_shares,
    train.weights_of_a_probe,
    train.weight_averages,
    train.settings_of_networks,
    train.mix_settings,
    train.mixing_with_the_loss,
    train.partners_of_the_target,
    train.forbidden_mixing,
    train.strategy_settings,
    train.epochs_of_other_kinds,
    train.views_and_stages_of_a_probe,
    train.weights_to_keep,
    train.head_settings,
    train.neighbours_of_a_network,
    train.solved_head,
    runtime.address_of_home,
    runtime.devices_of_workers,
    runtime.training_precision,
    runtime.halving_on_a_gpu,
    runtime.inference_precision,
    loss.known_losses,
    loss.losses_of_the_target,
    loss.weights_of_labels,
    loss.unread_parameters,
    loss.class_weights,
    train.deferred_class_weights,
    loss.weights_by_hand,
    loss.losses_of_heads,
    loss.losses_of_cosines,
    loss.losses_of_attributes,
    submission.submission_columns_and_words,
    submission.submission_command,
    ensemble.member_words,
    ensemble.given_weights,
    ensemble.methods_of_the_target,
    ensemble.pairs_of_classes,
    ensemble.time_budget,
    report.known_language,
)


def broken(sections: Sections) -> list[Broken]:
    """Every (path, fault) of the rules whose sections are all present."""
    return [b for rule in RULES if all(n in sections for n in rule.reads) for b in rule.check(sections)]
