"""The group that `make new` takes: codes that images share, or what the user says."""

import pytest
from host_world import SHADES, Host, N

IMAGES = 3 * N


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def bags(host, code):
    """Three images of each bag, of three classes."""
    return host.labels(["bag", "label"], lambda n: [code(n // 3), SHADES[n % 3]], n=IMAGES)


def chosen(host, **how):
    host.new(**how)
    return host.config.group_column


def test_codes_that_images_share_are_the_group(host):
    host = bags(host, lambda n: f"bag{n}").asks(["label"], "cat")
    assert chosen(host) == "bag"
    assert "a guess, because images share such codes: 24 different values for 72 images" in "\n".join(
        host.said.lines
    )


@pytest.mark.parametrize(
    "code", [lambda n: str(n), lambda n: f"2024-05-{n + 1:02d}", lambda n: "abcdefgh"[n % 8]]
)
def test_numbers_dates_and_a_few_words_are_only_a_hint(host, code):
    host = bags(host, code).asks(["label"], "cat")
    assert chosen(host) is None


def test_the_user_says_what_the_group_is(host):
    host = bags(host, str).asks(["label"], "cat")
    assert chosen(host, group="bag") == "bag"
    host = bags(host, lambda n: f"bag{n}")
    assert chosen(host, group="none") is None


@pytest.mark.parametrize(
    ("group", "said"),
    [
        ("bags", "did you mean bag?"),
        ("label", "holds the ids, the images or the label"),
        ("xyz", "bag, none"),
    ],
)
def test_a_group_that_is_no_free_column_is_refused(host, group, said):
    host = bags(host, str).asks(["label"], "cat")
    assert said in host.refused(group=group)


def test_a_group_without_a_table_is_refused(host):
    host.train = None
    assert "there is none (TRAIN=)" in host.refused(group="bag")
