"""What `make new` makes of thousands of classes: the class that means none of the known ones, and members."""

import pytest
from host_world import Host

from pipeline.core.errors import ConfigError
from pipeline.data.new import sizes
from pipeline.data.new.new_class import MAY_SAY_SO, SAYS_SO

RANKS = "w0 w2 w3 w4 w1"


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def said(host):
    return "\n".join(host.said.lines)


def whales(host, new="", n=72):
    """24 whales, a third of the images beside them of the new class if it is in the table."""
    return host.labels(["whale"], lambda k: [new if new and k >= 40 else f"w{k % 24}"], n=n)


def test_a_word_of_the_sample_alone_that_says_so_is_the_new_class(host):
    whales(host).asks(["whale"], "new_whale w2 w3 w4 w1").new()
    found = host.config
    assert found.new_class == "new_whale" and "new_whale" in found.attributes[0].values
    assert found.submission.format == "top_k" and found.submission.k == 5
    assert host.settings().config.decision.steps == ["new_class"]
    assert "the sample names it beside known classes" in said(host)


def test_any_other_word_of_the_sample_alone_is_asked_for_before_anything_runs(host):
    whales(host).asks(["whale"], "w77 w2 w3 w4 w1").new()
    assert "is `w77` the answer for images of none of the known classes?" in host.asked
    with pytest.raises(ConfigError, match=r"competition\.new_class"):
        host.settings()
    path = host.folder / "competition" / "x.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('new_class: "…"', 'new_class: "w77"'), encoding="utf-8")
    assert host.config.new_class == "w77"
    path.write_text(text.replace('new_class: "…"', "new_class: null"), encoding="utf-8")
    assert host.config.new_class is None


def test_several_unknown_words_are_classes_without_images_and_said(host):
    whales(host).asks(["whale"], "w77 w88 w3 w4 w1").new()
    assert host.config.new_class is None
    assert "the sample names 2 classes that no training row has (w77, w88): they are never answered" in said(
        host
    )


def test_the_most_frequent_class_of_the_table_that_says_so_is_the_new_class(host):
    whales(host, "new_whale").asks(["whale"], RANKS).new()
    assert host.config.new_class == "new_whale"
    assert "has 32 images, far more than any other class" in said(host)
    assert "and are scored as the new class `new_whale`" in said(host)


@pytest.mark.parametrize("word", ["other", "new_york"])
def test_a_name_that_may_or_may_not_say_so_is_a_hint(host, word):
    host.labels(["whale"], lambda k: [word if k == 50 or k == 51 else f"w{k % 24}"], n=72)
    host.asks(["whale"], RANKS).new()
    assert host.config.new_class is None
    assert f"if `{word}` means none of the known classes: competition.new_class={word}" in said(host)


def test_one_of_few_classes_is_a_class_like_the_others(host):
    host.labels(["kind"], lambda k: ["unknown" if k % 2 else f"c{k % 3}"]).asks(["kind"], "c0").new()
    assert host.config.new_class is None and "means none of the known" not in said(host)


@pytest.mark.parametrize("each", [lambda n: ["w0 .3 w1 .2"], lambda n: [f"w{n}"], lambda n: ["0"]])
def test_confidences_and_placeholders_are_no_new_class(host, each):
    whales(host).asks(["whale"], each=each)
    host.new()
    assert "new_class" not in said(host)


def test_the_words():
    says = (
        "new_whale",
        "new",
        "unknown",
        "none of these",
        "none_of_the_above",
        "unseen class",
        "whale_unknown",
    )
    assert all(SAYS_SO.fullmatch(word) for word in says)
    assert not any(SAYS_SO.fullmatch(word) for word in ("newt", "w_1", "none", "knew", "newfoundland"))
    assert all(MAY_SAY_SO.fullmatch(word) for word in ("other", "none", "background", "no whale", "-1"))


@pytest.mark.parametrize(("most", "method"), [(200, "mean"), (1000, "weighted")])
def test_very_many_classes_are_blended_with_equal_weights(host, monkeypatch, most, method):
    monkeypatch.setattr(sizes, "MOST_WEIGHED", most)
    host.labels(["whale"], lambda k: [f"w{k % 205}"], n=420)
    host.asks(["whale"], "w0 w2 w3 w4 w1").new()
    ensemble = host.settings().config.ensemble
    assert (ensemble.members, ensemble.method) == (["probe_arcface", "knn"], method)


def test_many_classes_of_few_images_get_angles_and_neighbours():
    assert sizes.many_classes([n % 300 for n in range(700)])
    assert not sizes.many_classes([n % 300 for n in range(7000)])
    assert not sizes.many_classes([n % 20 for n in range(60)])
    assert sizes.members_of_many() == ["probe_arcface", "knn"]
