"""Settings: every fault told at once, where each value came from, and every shipped YAML loads."""

import shutil
import textwrap
from dataclasses import replace

import pytest

from pipeline.core.errors import ConfigError
from pipeline.settings import augment
from pipeline.settings.load import CONFIGS, _request, load
from pipeline.settings.loss import LOSSES
from pipeline.settings.read import parse, parse_value
from pipeline.train.studies import grid as ablate

SHIPPED = sorted(p.relative_to(CONFIGS).as_posix() for p in CONFIGS.rglob("*.yaml"))
EXPERIMENTS = [n.split("/")[1].removesuffix(".yaml") for n in SHIPPED if n.startswith("experiment/")]
COMPETITIONS = [n.split("/")[1].removesuffix(".yaml") for n in SHIPPED if n.startswith("competition/")]
MODELS = [n.split("/")[1].removesuffix(".yaml") for n in SHIPPED if n.startswith("model/")]
GRIDS = [n for n in SHIPPED if n.startswith("ablate/")]


class Folder:
    """A configs folder of one's own; `write` adds a file."""

    def __init__(self, root):
        self.root = root
        for group in ("competition", "model", "experiment"):
            (root / group).mkdir(parents=True)
        self.write("config.yaml", "defaults: {competition: shapes, experiment: plain}")
        self.write(
            "competition/shapes.yaml",
            """
            competition:
              name: shapes
              root: data
              attributes:
                - {name: shape, column: shape, values: [disc, box]}
            train:
              epochs: 3
            """,
        )
        self.write("experiment/plain.yaml", "train: {lr: 0.01}")

    def write(self, name, text):
        (self.root / name).write_text(textwrap.dedent(text), encoding="utf-8")

    def load(self, *words):
        return load(words, self.root)

    def faults(self, *words):
        with pytest.raises(ConfigError) as caught:
            self.load(*words)
        return list(caught.value.faults)


@pytest.fixture
def configs(tmp_path):
    return Folder(tmp_path / "configs")


def test_merge_order_later_wins(configs):
    configs.write("model/big.yaml", "train: {lr: 0.02, epochs: 4, batch_size: 8}")
    configs.write("experiment/one.yaml", "train: {lr: 0.03, batch_size: 16}")
    configs.write("experiment/two.yaml", "train: {lr: 0.04}")
    train = configs.load("experiment=one+two", "train.seed=7").config.train
    assert (train.epochs, train.batch_size, train.lr, train.seed) == (3, 16, 0.04, 7)
    train = configs.load("model=big", "experiment=one+two", "train.batch_size=5").config.train
    assert (train.epochs, train.batch_size, train.lr) == (4, 5, 0.02)
    assert configs.load("experiment=two+one").config.train.lr == 0.03
    assert configs.load("experiment=one", "train.lr=0.5").config.train.lr == 0.5


def test_an_experiment_lies_over_the_one_it_uses_unless_another_stands_before_it(configs):
    configs.write("experiment/base.yaml", "train: {lr: 0.02, epochs: 4, batch_size: 8}")
    configs.write("experiment/other.yaml", "train: {lr: 0.5, batch_size: 16}")
    configs.write("experiment/rate.yaml", "uses: {experiment: base}\ntrain: {lr: 0.03}")
    configs.write("experiment/size.yaml", "uses: {experiment: base}\ntrain: {batch_size: 32}")
    configs.write("experiment/both.yaml", "uses: {experiment: rate+size}\ntrain: {epochs: 9}")

    def found(word):
        train = configs.load(f"experiment={word}").config.train
        return train.lr, train.epochs, train.batch_size

    assert found("rate") == (0.03, 4, 8)
    assert found("rate+size") == (0.03, 4, 32) == found("size+rate")
    assert found("other+rate")[0::2] == (0.03, 16)
    assert found("both") == (0.03, 9, 32)
    settings = configs.load("experiment=both")
    assert settings.experiment == "both"
    assert {"experiment/base.yaml", "experiment/rate.yaml"} <= set(settings.files)
    configs.write("experiment/base.yaml", "uses: {experiment: both}")
    assert any("is circular" in f for f in configs.faults("experiment=both"))


def test_sources_name_file_and_line_override_or_default(configs):
    settings = configs.load("train.seed=7")
    assert settings.sources["train.epochs"] == "configs/competition/shapes.yaml:8"
    assert settings.sources["train.lr"] == "configs/experiment/plain.yaml:1"
    assert settings.sources["train.seed"] == "override train.seed"
    assert "train.optimizer" not in settings.sources


def test_experiment_name_joins_overlays_and_model(configs):
    configs.write("experiment/b.yaml", "train: {epochs: 9}")
    configs.write("model/m.yaml", "model: {name: test_resnet, weights: none}")
    assert configs.load().experiment == "plain"
    assert configs.load("experiment=plain+b").experiment == "plain+b"
    assert configs.load("experiment=plain,b").experiment == "plain+b"
    assert configs.load("model=m").experiment == "plain@m"


def test_member_keeps_the_request_and_changes_the_experiment(configs):
    configs.write("experiment/b.yaml", "train: {epochs: 9, lr: 0.2}")
    member = configs.load("train.lr=0.7").member("plain+b")
    assert member.experiment == "plain+b"
    assert (member.config.train.epochs, member.config.train.lr) == (9, 0.7)
    assert member.config.competition.name == "shapes"


def test_all_faults_of_words_files_and_values_at_once(configs):
    configs.write("experiment/bad.yaml", "train:\n  epoch: 3\n  lr: 99\nnope: 1\n")
    faults = configs.faults(
        "experiment=bad", "model=gone", "folds.n=1", "train.batch_size=ten", "word", "seed.x=1"
    )
    text = "\n".join(faults)
    assert "configs/experiment/bad.yaml:2: train.epoch: unknown key; did you mean epochs" in text
    assert "configs/experiment/bad.yaml:3: train.lr: Input should be less than or equal to 10; got 99" in text
    assert "configs/experiment/bad.yaml:4: `nope` is not a section" in text
    assert "model=gone: no such file configs/model/gone.yaml" in text
    assert "override folds.n: folds.n: Input should be greater than or equal to 2; got 1" in text
    assert "override train.batch_size: train.batch_size: Input should be a valid integer" in text
    assert "word: expected key=value" in text
    assert "`seed` is not a section" in text
    assert len(faults) == 8


def test_unknown_key_names_the_nearest(configs):
    assert configs.faults("train.epoch=3") == [
        "override train.epoch: train.epoch: unknown key; did you mean epochs, head_epochs, warmup_epochs?"
    ]
    assert configs.faults("trian.epochs=3") == [
        "override trian.epochs: `trian` is not a section of the settings; did you mean train.epochs?"
    ]


def test_unknown_key_inside_a_demo_and_inside_a_list(configs):
    configs.write(
        "competition/toy.yaml",
        """
        competition:
          demo: {source: digits, limt: 200}
          attributes:
            - {name: digit, column: digit, value: ["0", "1"]}
        """,
    )
    text = "\n".join(configs.faults("competition=toy"))
    assert "toy.yaml:3: competition.demo.limt: unknown key; did you mean limit" in text
    assert "toy.yaml:4: competition.attributes[0].value: unknown key; did you mean values" in text


def test_missing_overlay_names_the_nearest_files(configs):
    (fault,) = configs.faults("experiment=plane")
    assert fault == "experiment=plane: no such file configs/experiment/plane.yaml; did you mean plain?"
    (fault,) = configs.faults("competition=zzz")
    assert "known: shapes" in fault


@pytest.mark.parametrize("name", ["/etc/passwd", "../config", "a/../plain"])
def test_an_overlay_is_a_name_not_a_path(configs, name):
    assert "no such file" in configs.faults(f"experiment={name}")[0]


def test_duplicates_are_refused_wherever_they_stand(configs):
    configs.write("experiment/twice.yaml", "train:\n  lr: 0.1\n  lr: 0.2\ntrain:\n  epochs: 2\n")
    faults = configs.faults("experiment=twice", "folds.n=3", "folds.n=4", "model=a", "model=b")
    assert "configs/experiment/twice.yaml:3: `train.lr` is written twice" in faults
    assert "configs/experiment/twice.yaml:4: `train` is written twice" in faults
    assert "folds.n=4: `folds.n` is overridden twice" in faults
    assert "model=b: `model` is overridden twice" in faults


@pytest.mark.parametrize(
    ("text", "why"),
    [("012", "octal"), ("58:30", "base 60"), ("off", "true or false"), ("Yes", "true or false")],
)
def test_ambiguous_scalars_are_refused(configs, text, why):
    configs.write("experiment/odd.yaml", f"competition:\n  title: {text}\n")
    (fault,) = [f for f in configs.faults("experiment=odd") if why in f]
    assert fault.startswith("configs/experiment/odd.yaml:2: competition.title: ") and f"`{text}`" in fault
    assert why in configs.faults(f"competition.title={text}")[0]


def test_quoting_settles_what_is_ambiguous(configs):
    configs.write("experiment/odd.yaml", "competition:\n  title: '012'\n")
    assert configs.load("experiment=odd").config.competition.title == "012"
    assert configs.load('competition.title="58:30"').config.competition.title == "58:30"


@pytest.mark.parametrize("text", ["33046231", "12e45678", "1e3"])
def test_a_number_is_text_where_only_text_will_do(configs, text):
    """One key in fifty starts with eight digits."""
    assert configs.load(f"train.init_from={text}").config.train.init_from == text
    assert "valid string" in configs.faults("competition.title=true")[0]
    assert configs.load("train.init_from=null").config.train.init_from is None
    assert "valid array" in configs.faults(f"infer.views={text}")[0]


def test_scientific_numbers_are_numbers_and_dates_are_text(configs):
    assert configs.load("train.lr=1e-3").config.train.lr == 0.001
    assert configs.load("train.lr=2.5E-3").config.train.lr == 0.0025
    assert configs.load("competition.title=2026-01-01").config.competition.title == "2026-01-01"
    assert parse("a: {b: 3e-4, c: -1e2}", "x").data == {"a": {"b": 3e-4, "c": -100.0}}
    assert parse_value("1e") == ("1e", None)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("train.epochs=2.5", "valid integer"),
        ("train.epochs=true", "valid integer"),
        ("train.lr=fast", "valid number"),
        ("train.lr=.nan", "finite number"),
        ("train.schedule=linear", "'cosine', 'constant', 'step', 'one_cycle' or 'plateau'"),
        ("infer.views=[]", "at least 1 item"),
        ("train=0", "`train` is a whole section; override one setting of it, e.g. train.KEY=VALUE"),
        ("train=[]", "whole section"),
        ("train={epochs: 3}", "whole section"),
        ("train.epochs.x=3", "valid integer"),
        ("train.freeze_until=-1", "train.freeze_until: Input should be greater than or equal to 0"),
        ("train.freeze_until=1.5", "train.freeze_until: Input should be a valid integer"),
        ("train.layer_decay=1.5", "less than or equal to 1"),
        ("competition=", "names no file"),
        ("infer.views=[identity", "not a valid YAML value"),
    ],
)
def test_wrong_types_and_ranges(configs, word, expected):
    fault = configs.faults(word)[0]
    assert expected in fault and word.partition("=")[0] in fault


def test_rules_run_on_valid_sections_even_if_another_is_broken(configs):
    faults = configs.faults(
        "folds.n=1", "train.warmup_epochs=9", "ensemble.members=[plain,plain]", "model.weights=nope"
    )
    text = "\n".join(faults)
    assert "train.warmup_epochs 9.0 is longer than train.epochs=3" in text
    assert "ensemble.members names a member twice" in text
    assert "model.weights `nope` is not one of" in text
    assert "folds.n: Input should be" in text and len(faults) == 4


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("resample.method=under", "resample.to=cap"), "resample.cap"),
        (("resample.method=over", "resample.to=ratio"), "resample.ratio"),
        (("train.folds=[5]",), "train.folds"),
        (("train.folds=[]",), "train.folds"),
        (("train.folds=[1,1]",), "train.folds"),
        (("train.strategy=linear_probe", "model.weights=none"), "model.weights"),
        (("train.strategy=scratch",), "train.strategy"),
        (("train.strategy=freeze_until",), "train.strategy"),
        (("train.strategy=gradual",), "train.strategy"),
        (("train.freeze_until=blocks.3",), "train.freeze_until"),
        (("train.unfreeze_every=1",), "train.unfreeze_every"),
        (("train.strategy=freeze_until", "train.freeze_until=4", "model.weights=none"), "model.weights"),
        (("train.strategy=gradual", "train.unfreeze_every=1", "model.weights=none"), "model.weights"),
        (("train.strategy=linear_probe", "train.layer_decay=0.8"), "train.layer_decay"),
        (("train.strategy=linear_probe", "train.init_from=lite0"), "train.init_from"),
        (("train.strategy=linear_probe", "train.freeze_bn=true"), "train.freeze_bn"),
        (("train.strategy=scratch", "model.weights=none", "train.init_from=lite0"), "train.init_from"),
        (("train.strategy=scratch", "model.weights=none", "train.freeze_bn=true"), "train.freeze_bn"),
        (("train.precision=fp16", "runtime.device=cpu"), "train.precision"),
        (("infer.precision=fp16", "runtime.device=cpu"), "infer.precision"),
        (("train.swa_start=0.5", "train.ema_decay=0.9"), "train.swa_start"),
        (("train.swa_start=0.5", "train.early_stopping={patience: 2}"), "train.swa_start"),
        (("train.strategy=linear_probe", "model.weights=hub", "train.swa_start=0.5"), "train.swa_start"),
        (
            ("train.strategy=linear_probe", "model.weights=hub", "train.early_stopping={}"),
            "train.early_stopping",
        ),
        (
            ("train.strategy=linear_probe", "model.weights=hub", "train.weight_noise=0.1"),
            "train.weight_noise",
        ),
        (("train.strategy=linear_probe", "model.weights=hub", "train.mix.method=mixup"), "train.mix.method"),
        (("train.strategy=linear_probe", "model.weights=hub", "train.oom_halving=true"), "train.oom_halving"),
        (("train.lr_decay=0.5",), "train.lr_decay"),
        (("train.lr_decay_epochs=1", "train.schedule=plateau"), "train.lr_decay_epochs"),
        (("train.lr_patience=1", "train.schedule=step"), "train.lr_patience"),
        (("train.warmup_epochs=1", "train.schedule=one_cycle"), "train.warmup_epochs"),
        (("train.mix.partner=minority",), "train.mix.partner"),
        (("train.mix.prob=0.5",), "train.mix.prob"),
        (("train.mix.method=cutmix_half", "train.mix.alpha=0.2"), "train.mix.alpha"),
        (("train.chain={}", "loss.name=soft_f1"), "train.chain.mode"),
        (("train.chain.others=0.5",), "train.chain.others"),
        (("train.chain={mode: failed, rate: 0.5}",), "train.chain.rate"),
        (("train.chain.inner=1",), "train.chain.inner"),
        (("train.chain={}", "train.init_from=lite0"), "train.chain.inner"),
        (("train.distill={}", "train.group_share=0.5"), "train.distill"),
        (("train.swa_start=0.9", "train.epochs=6"), "train.swa_start"),
        (("train.swa_start=0", "train.epochs=1"), "train.swa_start"),
        (("train.freeze_bn=true", "model.weights=hub", "model.norm=group"), "train.freeze_bn"),
        (("train.oom_halving=true", "runtime.device=cpu"), "train.oom_halving"),
        (("loss.class_weights=inverse", "loss.defer=0.1", "train.epochs=9"), "loss.defer"),
        (("resample.cap=3",), "resample.cap"),
        (("resample.method=over", "resample.to=cap", "resample.cap=9", "resample.ratio=2"), "resample.ratio"),
        (("resample.to=ratio", "resample.ratio=2"), "resample.to"),
        (("resample.method=under", "resample.neighbours=3"), "resample.neighbours"),
        (("resample.method=a:b", "resample.to=cap", "resample.cap=9"), "resample.to"),
        (("resample.method=under", "resample.features.norm=group"), "resample.features"),
        (
            (
                *("train.strategy=linear_probe", "model.weights=hub"),
                *("resample.method=near_miss", "resample.features.norm=group"),
            ),
            "resample.features",
        ),
        (("train.pseudo={test_images: true}", "resample.method=near_miss"), "train.pseudo.test_images"),
        (("train.strategy=linear_probe", "model.weights=hub", "train.schedule=plateau"), "train.schedule"),
        (
            (
                "competition.attributes=[{name: a, column: a, values: [p, q], forbids: [cutmix]}]",
                "train.mix.method=cutmix_half",
            ),
            "train.mix.method",
        ),
        (("competition.attributes=[]",), "competition.attributes"),
        (("competition.root=null",), "competition.root"),
        (
            ("competition.attributes=[{name: a, column: a, values: [x, x]}]",),
            "competition.attributes[0].values",
        ),
        (
            ("competition.attributes=[{name: a, column: a, values: [p, q], names: [z]}]",),
            "competition.attributes[0].names",
        ),
    ],
)
def test_every_rule_between_settings(configs, words, path):
    (fault,) = configs.faults(*words)
    assert f": {path} " in fault and fault.startswith("override ")


def test_a_loss_of_plain_labels_takes_no_mixed_ones(configs, monkeypatch):
    monkeypatch.setitem(LOSSES, "focal", replace(LOSSES["focal"], soft_targets=False))
    (fault,) = configs.faults("loss.name=focal", "train.mix.method=mixup")
    assert "train.mix.method makes soft targets, which loss.name=focal does not accept" in fault
    assert configs.load("loss.name=focal").config.loss.name == "focal"
    assert configs.load("train.mix.method=mixup").config.train.mix.method == "mixup"


def test_nested_training_settings_from_the_command_line(configs):
    train = configs.load(
        "train.optimizer_args={momentum: 0, nesterov: false}", "train.mix={method: mixup, prob: 0.5}"
    ).config.train
    assert train.optimizer_args == {"momentum": 0, "nesterov": False} and train.mix.prob == 0.5
    assert configs.load("train.optimizer_args.rho=0.8").config.train.optimizer_args == {"rho": 0.8}
    assert configs.load("train.early_stopping.share=0.25").config.train.early_stopping.share == 0.25


def test_a_model_chosen_by_hand_beats_the_experiments_own(configs):
    """Else `make train ARGS="model=…"` would train the default experiment's model and say nothing."""
    configs.write("model/small.yaml", "model: {name: test_resnet, weights: none}")
    configs.write("model/large.yaml", "model: {name: resnet50, weights: none}")
    configs.write("experiment/plain.yaml", "model: {name: test_efficientnet, weights: none}")
    configs.write("experiment/other.yaml", "uses: {model: small}\ntrain: {lr: 0.5}")
    for words in ((), ("experiment=other",), ("experiment=plain+other",), ("experiment=other+plain",)):
        assert configs.load("model=large", *words).config.model.name == "resnet50"
    assert configs.load("model=large", "model.name=resnet18").config.model.name == "resnet18"
    assert configs.load("model=large").member("other").config.model.name == "resnet50"
    # A model that is used comes before the file that uses it, and after the files before that.
    assert configs.load("experiment=plain+other").config.model.name == "test_resnet"
    assert configs.load("experiment=other+plain").config.model.name == "test_efficientnet"
    configs.write("experiment/own.yaml", "uses: {model: small}\nmodel: {drop_rate: 0.5}")
    model = configs.load("experiment=own").config.model
    assert (model.name, model.drop_rate) == ("test_resnet", 0.5)


def test_images_are_never_asked_larger_than_they_are_kept(configs):
    (fault,) = configs.faults("images.size=64", "images.cache_px=32")
    assert "images.size 64 is larger than images.cache_px=32: raise images.cache_px too" in fault
    assert configs.load("images.size=32", "images.cache_px=32").config.images.hw == (32, 32)
    assert "images.cache_px=48" in configs.faults("images.size=[32,64]", "images.cache_px=48")[0]


def test_uses_pulls_in_other_files(configs):
    configs.write("model/tiny.yaml", "model: {name: test_resnet, weights: none}")
    configs.write("experiment/plain.yaml", "uses: {model: tiny}\ntrain: {lr: 0.01}")
    configs.write("experiment/other.yaml", "train: {lr: 0.5}")
    configs.write(
        "competition/own.yaml",
        "uses: {experiment: other}\ncompetition:\n  root: d\n  attributes:\n"
        "    - {name: a, column: a, values: [p, q]}\n",
    )
    assert configs.load().config.model.name == "test_resnet"
    assert configs.load().experiment == "plain"  # the file's own choice is no choice by hand
    assert configs.load("competition=own").experiment == "other"
    assert configs.load("competition=own", "experiment=plain").config.train.lr == 0.01


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uses: {modle: x}", "`uses` accepts model, experiment here, not modle"),
        ("uses: {experiment: gone}", "no such file configs/experiment/gone.yaml"),
        ("uses: {experiment: bad}", "`uses` is circular: bad"),
        ("uses: tiny", "`uses` expects lines such as `model: NAME`"),
        ("uses: {model: gone}", "no such file configs/model/gone.yaml"),
        ("- a", "expected `key: value` lines, got list"),
        ("train: [1, 2", "not valid YAML"),
        ("train: {lr: '${nope}'}", "Interpolation key 'nope' not found"),
        ("null: 3", "cannot be merged"),
        ("train:\n\tlr: 3", "not valid YAML"),
    ],
)
def test_broken_files_are_faults_not_tracebacks(configs, text, expected):
    configs.write("experiment/bad.yaml", text)
    assert any(expected in f for f in configs.faults("experiment=bad", "folds.n=1"))
    assert any("folds.n" in f for f in configs.faults("experiment=bad", "folds.n=1"))


def test_a_typo_among_the_defaults_is_told(configs):
    configs.write("config.yaml", "defaults: {competition: shapes, experimnt: plain}")
    assert any(
        "`defaults` accepts competition, experiment here, not experimnt" in f for f in configs.faults()
    )


def test_a_file_that_is_no_text_is_a_fault(configs):
    (configs.root / "experiment" / "bad.yaml").write_bytes(b"train: \xff\xfe\n")
    assert "cannot be read" in configs.faults("experiment=bad")[0]


def test_hangul_stays_as_it_is_in_values_and_faults(configs):
    assert configs.load("competition.title=마스크 착용").config.competition.title == "마스크 착용"
    assert "마스크" in configs.faults("train.epochs=마스크")[0]


def test_the_shipped_files_are_the_ones_tested():
    """A YAML in another place, or a new group, must come with a test that loads it."""
    groups = {n.split("/")[0] for n in SHIPPED}
    named = {"advice", "ablate", "augment", "competition", "experiment", "model", "portfolio", "tune"}
    assert groups == {"config.yaml", *named}
    assert len(SHIPPED) == sum(1 for _ in CONFIGS.rglob("*.y*ml")) >= 11
    assert {"emoji", "emoji-shift", "emoji-people", "emoji-labels", "digits", "digits-values"} <= set(
        COMPETITIONS
    )
    assert {"lite0", "small_cnn", "probe", "debug", "tiny_cnn", "tiny_resnet"} <= set(EXPERIMENTS)
    assert {"resnet18", "resnet50", "vit_tiny_patch16_224"} <= set(MODELS)
    assert {"ablate/resample.yaml", "ablate/resample_quick.yaml"} <= set(GRIDS)


@pytest.mark.parametrize("name", [n for n in SHIPPED if n.startswith("augment/")])
def test_every_shipped_policy_is_one_and_its_header_says_what_for(name):
    text = (CONFIGS / name).read_text(encoding="utf-8")
    assert len(text.splitlines()[0]) > 30 and text.startswith("# ")
    policy = augment.read(name.removeprefix("augment/").removesuffix(".yaml"))
    assert bool(policy.transforms) == (name != "augment/none.yaml")


@pytest.mark.parametrize("name", [n for n in SHIPPED if not n.startswith("augment/")])
def test_every_shipped_file_holds_settings_and_a_header(name):
    text = (CONFIGS / name).read_text(encoding="utf-8")
    group = name.partition("/")[0]
    parsed = parse(text, name, group if group in ("portfolio", "advice") else "")
    assert parsed.data and not parsed.faults
    assert text.startswith("# ") and "make " in text, f"{name}: a header says what it is and the command"


@pytest.mark.parametrize("competition", COMPETITIONS)
def test_every_experiment_and_model_resolves_on_every_competition(competition):
    for word in [*(f"experiment={e}" for e in EXPERIMENTS), *(f"model={m}" for m in MODELS)]:
        # The digits keep decoded images so small that larger ones are refused.
        larger = competition.startswith("digits") and word in ("experiment=lite0_96", "experiment=resnet10t")
        more = ["images.cache_px=96"] if larger else []
        # Their loss is one of exclusive classes, which the error says, and so is a head of cosines.
        exclusive = competition not in ("digits-pairs", "digits-values", "emoji-labels")
        cosine = word in ("experiment=arcface", "experiment=probe_arcface")
        if not exclusive and (cosine or word == "experiment=lite0_96"):
            more += ["loss.name=cross_entropy", *(["model.heads=joint"] if cosine else [])]
        settings = load([f"competition={competition}", word, *more])
        assert settings.config.competition.name == competition
    for member in load([f"competition={competition}"]).config.ensemble.members:
        assert load([f"competition={competition}"]).member(member).experiment == member


@pytest.mark.parametrize("model", MODELS)
def test_a_shipped_model_is_what_is_trained_whatever_the_experiment(model):
    of_file = parse((CONFIGS / "model" / f"{model}.yaml").read_text(encoding="utf-8"), model).data["model"]
    for experiment in ("lite0", "small_cnn"):
        settings = load([f"model={model}", f"experiment={experiment}"])
        assert settings.config.model.model_dump().items() >= of_file.items()
        assert settings.experiment == f"{experiment}@{model}"


@pytest.mark.parametrize("name", GRIDS)
def test_every_arm_of_a_shipped_grid_resolves(name):
    grid = ablate.read(CONFIGS / name)
    settings = load([f"experiment={grid.experiment}"]).with_values(grid.settings)
    cells = ablate.arms(grid)
    assert len({arm.name for arm in cells}) == len(cells) > 3 and ablate.pairs(grid)
    resolved = [settings.with_values(arm.values).config for arm in cells]
    assert len({config.model_dump_json() for config in resolved}) == len(cells), "two arms are the same"


def test_a_shipped_yaml_with_a_typo_would_fail(tmp_path):
    """The tests above can fail: one letter is enough."""
    folder = shutil.copytree(CONFIGS, tmp_path / "configs")
    path = folder / "experiment" / "lite0.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("epochs:", "epoch:"), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lite0.yaml:\d+: train.epoch: unknown key"):
        load(["experiment=lite0"], folder)


@pytest.mark.parametrize(("value", "what"), [("many", "'auto'"), ("-1", "greater than or equal to 0")])
def test_loader_processes_are_a_number_or_auto(configs, value, what):
    (fault,) = configs.faults(f"runtime.workers={value}")
    assert f"runtime.workers: Input should be {what}" in fault


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("competition.root", "/data/set #2", "/data/set #2"),
        ("competition.root", "/data/set#2", "/data/set#2"),
        ("competition.root", "#2", "#2"),
        ("competition.root", "'/data/set #2'", "/data/set #2"),
        ("competition.root", '"/data/set #2"', "/data/set #2"),
        ("competition.root", "null", None),
        ("competition.root", "~", None),
        ("competition.root", "C: \\data", "C: \\data"),
        ("competition.root", "{a: 1}", "{a: 1}"),
        ("competition.root", "it's", "it's"),
        ("competition.root", "- a", "- a"),
        ("competition.root", "*a", "*a"),
        ("competition.root", "a: b", "a: b"),
        ("competition.root", "@x", "@x"),
        ("competition.title", "Tom & Jerry #1: %d [x]", "Tom & Jerry #1: %d [x]"),
        ("competition.group_column", "person # id", "person # id"),
        ("competition.name", "5", "5"),
        ("runtime.home", "./a #b", "./a #b"),
    ],
)
def test_free_text_is_text(path, text, value):
    request, faults = _request([f"{path}={text}"])
    assert not faults and dict(request.values) == {path: value}
    if not path.startswith("runtime."):
        (word,) = [w for w in request.words if w.startswith(path)]
        assert dict(_request([word])[0].values) == {path: value}, "a repeated command means the same"


@pytest.mark.parametrize("word", ["train.epochs=3 #x", "folds.n= #5", "ensemble.members=[a, b] # both"])
def test_a_comment_in_any_other_value_is_refused_and_not_cut_off(word):
    _, faults = _request([word])
    assert len(faults) == 1 and "#" in str(faults[0])


def test_a_hash_inside_quotes_is_no_comment():
    request, faults = _request(["ensemble.members=['file:/data/set #2/a.csv', b#c]"])
    assert not faults and dict(request.values)["ensemble.members"] == ["file:/data/set #2/a.csv", "b#c"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000,
        "a: &a [*a]",
        "a: " + "9" * 5000,
        "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]),
    ],
    ids=["deep", "itself", "digits", "laughs"],
)
def test_yaml_that_eats_memory_or_recursion_is_a_fault(text):
    assert "not valid YAML" in str(parse(text, "x.yaml").faults[0])
    assert "not a valid YAML value" in parse_value(text.removeprefix("a: "))[1]
