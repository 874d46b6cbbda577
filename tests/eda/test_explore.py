from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from analyze_cases import HOSTILE, SPACE, case, explore_inputs
from markupsafe import escape

from pipeline.core.errors import DataError
from pipeline.eda.evidence import ORDER
from pipeline.eda.page import explore, render_html
from pipeline.settings.eda import EdaSettings
from pipeline.settings.report import ReportSettings
from pipeline.settings.schema import Config


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page() -> str:
    inputs = explore_inputs(case())
    return render_html(explore(inputs), inputs)


def test_tables_and_metrics():
    exploration = explore(explore_inputs(case()))
    assert exploration.metrics["images_train"] == 120 and exploration.metrics["classes"] == 4
    assert all(isinstance(value, float) for value in exploration.metrics.values())
    assert {"classes", "attribute_size", "attribute_parity", "sizes", "groups", "folds"} <= set(
        exploration.tables
    )
    assert exploration.metrics["imbalance_ratio_size"] >= 1


def test_page_is_whole_and_opens_with_findings(page):
    ids = [attrs["id"] for _, attrs in Tags(page).found if "id" in attrs]
    assert len(ids) == len(set(ids))
    sections = [attrs["id"] for tag, attrs in Tags(page).found if tag == "section"]
    assert sections == [
        "findings",
        "balance",
        "groups",
        "sizes",
        "quality",
        "shift",
        "duplicates",
        "means",
        "sheets",
    ]
    anchors = [attrs["href"] for tag, attrs in Tags(page).found if tag == "a"]
    beside = [anchor for anchor in anchors if anchor.endswith(".csv")]
    (home,) = [anchor for anchor in anchors if not anchor.startswith("#") and anchor not in beside]
    assert home.endswith("reports/index.html")
    anchors = [anchor for anchor in anchors if anchor not in (home, *beside)]
    assert all(anchor.startswith("#") and anchor[1:] in ids for anchor in anchors)
    assert "train images" in page and "fold 1" in page


def test_page_loads_nothing(page):
    tags = Tags(page).found
    assert not {"link", "img", "iframe"} & {tag for tag, _ in tags}
    assert not [attrs for _, attrs in tags if "src" in attrs]
    assert "http:" not in page and "https:" not in page
    policy = next(
        attrs["content"] for tag, attrs in Tags(page).found if tag == "meta" and "http-equiv" in attrs
    )
    assert policy is not None and "default-src 'none'" in policy and "script-src 'sha256-" in policy


def test_hostile_names_are_text(page):
    attributes = {name for _, attrs in Tags(page).found for name in attrs}
    assert not [name for name in attributes if name.startswith("on")]
    for name in (HOSTILE[0], SPACE.classes[2]):
        assert str(escape(name)) in page and name not in page
    assert "{{ 7 * 7 }}" in page


def test_pages_are_the_same_twice(page):
    inputs = explore_inputs(case())
    assert render_html(explore(inputs), inputs) == page


def test_suspects_are_every_image_behind_a_finding():
    made = case()
    digests = made.facts["sha256"].to_numpy(dtype=object, copy=True)
    digests[20:26] = digests[20]
    inputs = explore_inputs(replace(made, facts=made.facts.assign(sha256=digests)))
    exploration = explore(inputs)
    suspects = exploration.tables["suspects"]
    copies = suspects[suspects["finding"].str.startswith("copy_")]
    assert set(copies["id"]) == set(made.facts["id"][20:26]) and copies["set"].nunique() == 1
    assert list(suspects["severity"]) == sorted(suspects["severity"], key=ORDER.index)


def test_pages_stay_small():
    made = case(700, 100)
    sizes = {}
    for most in (300, 20_000):
        config = Config(eda=EdaSettings(thumbnails=most), report=ReportSettings(per_class=200))
        inputs = explore_inputs(made, config)
        sizes[most] = render_html(explore(inputs), inputs).count("background-image:url(")
    assert 200 < sizes[300] <= 300 < sizes[20_000]


def test_every_class_has_its_mean_picture(page):
    section = page.split('<section id="means">')[1].split("</section>")[0]
    assert section.count("<figcaption>") == SPACE.n_classes
    assert section.count(str(escape(f"mean of {SPACE.classes[0]}"))) == 2


def test_unmeasured_images_stop_it():
    made = case()
    inputs = explore_inputs(made)
    with pytest.raises(DataError):
        explore(type(inputs)(**{**vars(inputs), "facts": made.facts.iloc[1:]}))


def test_a_finding_that_names_the_list_of_suspects_links_to_it():
    made = case()
    facts = made.facts.assign(blur=[0.0, *made.facts["blur"][1:]])
    inputs = explore_inputs(replace(made, facts=facts))
    told = render_html(explore(inputs), inputs)
    assert '<a href="suspects.csv"><code>suspects.csv</code></a>' in told


def test_groups_of_a_test_set_that_names_none_are_not_counted():
    made = case()
    alone = replace(made, test=replace(made.test, groups_N=made.test.ids_N))
    inputs = explore_inputs(alone)
    explored = explore(inputs)
    train, test = explored.tables["groups"].itertuples(index=False)
    assert train.groups > 1 and test.images == 40
    assert all(pd.isna(value) for value in test[2:])
    assert "The groups of the test images are not known." in render_html(explored, inputs)
    inputs = explore_inputs(made)
    assert "not known" not in render_html(explore(inputs), inputs), "the host names them"
    one = made.test.groups_N.astype("U20")
    one[:] = [f"single {n}" for n in range(len(one))]
    one[0] = made.train.groups_N[0]
    inputs = explore_inputs(replace(made, test=replace(made.test, groups_N=one)))
    assert "not known" not in render_html(explore(inputs), inputs), "one of them is in the training set, too"
