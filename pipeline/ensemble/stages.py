"""The stages of `ensemble/`: the blend, its cost, decision steps, and one student in place of the blend.

Owns their declarations and inputs. Does not own voting (`core/voting/`) nor the members (`ensemble/voters.py`).
"""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.errors import ConfigError
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask, Built, Job, Stage, of_competition, of_experiment
from pipeline.ensemble import cost, voters
from pipeline.nets.stages import features_need
from pipeline.settings.ensemble import word_of
from pipeline.settings.load import Settings
from pipeline.train.teaching import teacher

# Inputs of a decision: what each member's training showed, `shown:<member>`.
SHOWN = "shown:"


def build_ensemble(job: Job) -> Built:
    """Blend the members."""
    from pipeline.ensemble import stage_ensemble

    return stage_ensemble.build(job)


def ensemble_sections(settings: Settings) -> tuple[str, ...]:
    """Settings that a blend reads: the host's format only where CSVs come from elsewhere."""
    outside = any(word_of(text).path for text in settings.config.ensemble.members)
    host = ("competition.submission",) if outside else ()
    return ("ensemble", "statistics", "competition.metric", *host)


def ensemble_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The members; CSVs from elsewhere are none, their digests are in the blend's identity."""
    found = {"data": Need("data", settings), "folds": Need("folds", settings)}
    for word in map(word_of, settings.config.ensemble.members):
        if word.kind == "experiment":
            member = settings.member(word.name)
            found[f"member:{word.name}"] = Need("infer", member)
            if settings.config.ensemble.refit:
                found[f"refit:{word.name}"] = Need("refit", member)
        elif word.kind == "auto":
            keys = voters.every(ask, settings)
            found |= {f"member:{name}": Need("infer", settings, key=key) for name, key in keys.items()}
        elif word.kind == "key":
            keys = voters.pinned(ask, settings, word.name)
            found |= {f"member:{name}": Need("infer", settings, key=key) for name, key in keys.items()}
    return found


def ensemble_identity(ask: Ask, settings: Settings, params: Params) -> str:
    """Digests of the CSVs from elsewhere and, with a budget, of what members were measured to cost."""
    blend = settings.config.ensemble
    costs = ""
    if blend.max_ms is not None:
        inputs = ensemble_inputs(ask, settings, params)
        members = {name: ask.found(need) for name, need in inputs.items() if need.stage == "infer"}
        costs = cost.digest({name.partition(":")[2]: a for name, a in members.items()})
    return voters.outside_identity(blend.members, ask.index) + costs


def build_cost(job: Job) -> Built:
    """Say what the blend and its members cost."""
    from pipeline.ensemble import stage_cost

    return stage_cost.build(job)


def cost_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The blend and what it is made of."""
    own = ensemble_inputs(ask, settings, params)
    wanted = {n: need for n, need in own.items() if n in ("data", "folds") or n.startswith("member:")}
    return wanted | {"ensemble": Need("ensemble", settings)}


def build_decide(job: Job) -> Built:
    """Apply the decision steps that pay."""
    from pipeline.ensemble import stage_decide

    return stage_decide.build(job)


def refuse_decide(settings: Settings) -> None:
    """Raise ConfigError for functions that cannot be loaded, and scales for a metric of probabilities."""
    from pipeline.ensemble import stage_decide

    stage_decide.refuse(settings)


def decide_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """What is decided (`of`), and what its steps look at."""
    of, decision = str(params.get("of", "ensemble")), settings.config.decision
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    common["of"] = Need("infer" if of == "refit" else of, settings)
    if of == "refit":
        common["refit"] = Need("refit", settings)
    if "prior_correction" in decision.steps:
        common |= _shown(settings, of)
    if "group_average" in decision.steps and decision.groups == "clusters":
        beside = replace(settings, config=settings.config.model_copy(update={"model": decision.features}))
        common |= {f"{s}:identity": features_need(beside, s, "identity") for s in ("train", "test")}
    return common


def _shown(settings: Settings, of: str) -> Inputs:
    """What training showed: of one experiment, or of each member of the blend."""
    if of != "ensemble":
        return {f"{SHOWN}{settings.experiment}": Need("resample", settings)}
    names = settings.config.ensemble.members
    if any(word_of(text).kind != "experiment" for text in names):
        raise ConfigError(
            "decision.steps: prior_correction needs members by name: what others learned is not known",
            remedy="name experiments, e.g. ensemble.members=[lite0,probe], or leave prior_correction out",
        )
    return {f"{SHOWN}{name}": Need("resample", settings.member(name)) for name in names}


def decided_label(settings: Settings, params: Params) -> str:
    """The blend's label is the competition's name, that of one member or of a refit its experiment's."""
    alone = params.get("of", "ensemble") != "ensemble"
    return of_experiment(settings, params) if alone else of_competition(settings, params)


def build_distill(job: Job) -> Built:
    """Compare a student with the blend that taught it."""
    from pipeline.ensemble import stage_distill

    return stage_distill.build(job)


def distill_inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """The student, the blend that taught it, and the same training on labels."""
    plain = teacher(ask, settings, settings.experiment)
    common = {"data": Need("data", settings), "folds": Need("folds", settings)}
    more = {
        "student": Need("infer", settings),
        "plain": Need("infer", plain),
        "blend": Need("ensemble", plain),
    }
    return common | more


STAGES = (
    Stage(
        "ensemble",
        3,
        "members combined",
        build_ensemble,
        reads=ensemble_sections,
        inputs=ensemble_inputs,
        identity=ensemble_identity,
        tracked=True,
    ),
    Stage(
        "cost",
        1,
        "what an ensemble and its members cost",
        build_cost,
        reads=("competition.metric", "competition.title", "report.thumbnail_px"),
        inputs=cost_inputs,
        tracked=True,
    ),
    Stage(
        "decide",
        2,
        "post-processing, kept where it is better",
        build_decide,
        reads=("decision", "statistics", "competition.metric"),
        inputs=decide_inputs,
        label=decided_label,
        refuse=refuse_decide,
        tracked=True,
    ),
    Stage(
        "distill",
        2,
        "one student in place of a blend",
        build_distill,
        reads=("statistics", "competition.metric"),
        inputs=distill_inputs,
        label=of_experiment,
        tracked=True,
    ),
)
