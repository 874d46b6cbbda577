"""What `make new` makes of labels that hold together, values, shares, ranked answers and long form."""

import numpy as np
import pytest
from bring_world import picture, table
from host_world import SHADES, TESTS, Host, N

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.targets import Target
from pipeline.data import competition, host_format
from pipeline.data.host import competition_root

GRADES = ("Normal/Mild", "Moderate", "Severe")


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def facts(host):
    """Kind, names of the columns of predictions, format and metric."""
    found = host.config
    space = competition.label_space(found)
    return found.target, space.classes, found.submission.format, found.metric


def submitted(host, p_K):
    """The rows of a submission that predicts `p_K` for each image; it is checked and read back, too."""
    config = host.config
    data = competition.load(config, competition_root(host.settings()))
    space, sample, path = data.train.space, host.sample, host.root / "mine.csv"
    p_NK = np.tile(np.array(p_K, np.float32), (len(data.test), 1))
    predicted = Probabilities.of(Target.of(space), data.test.ids_N, p_NK, "p")
    host_format.write(path, predicted, space, config.submission, sample)
    host_format.check(path, sample, space, config.submission)
    host_format.read(path, space, config.submission, sample)
    return path.read_text(encoding="utf-8").splitlines()


def reasons(host):
    return "\n".join(host.said.lines)


# Labels that hold together


def test_columns_of_marks_with_several_or_none_a_row_are_labels(host):
    host.labels(["scab", "leaf rust"], lambda n: [n % 2, n % 3 % 2])
    host.asks(["scab", "leaf rust"], 0.5, 0.5).new()
    assert facts(host) == ("labels", ("scab", "leaf_rust"), "probabilities", "auc")
    assert host.config.submission.columns == {"scab": "scab", "leaf_rust": "leaf rust"}
    assert "in 12 of 24 rows, none or several of these columns are 1" in reasons(host)
    assert "several labels may hold" in reasons(host)
    assert submitted(host, [0.9, 0.6])[:2] == ["image,scab,leaf rust", "t0,0.9,0.6"]


def test_zeros_of_a_sample_of_labels_may_be_probabilities_or_labels_and_are_asked_for(host):
    host.labels(["a", "b"], lambda n: [n % 2, n % 3 % 2]).asks(["a", "b"], 0, 0).new()
    assert "which may be a probability or a label that does not hold" in host.asked
    with pytest.raises(ConfigError, match="format"):
        host.settings()
    assert host.answer(0).submission.format == "probabilities"
    host.new()
    with pytest.raises(ConfigError) as caught:
        host.answer(1)
    assert "auc needs probabilities" in str(caught.value)
    found = host.settings("competition.metric=macro_f1").config.competition
    assert found.submission.format == "attributes"


def test_a_sample_with_labels_that_hold_asks_for_labels(host):
    cells = {"a": lambda n: n % 2, "b": lambda n: n % 3 % 2}
    host.labels(list(cells), lambda n: [f(n) for f in cells.values()])
    host.asks(["b", "a"], each=lambda n: [n % 2, 0]).new()
    assert facts(host) == ("labels", ("b", "a"), "attributes", "macro_f1")
    assert submitted(host, [0.9, 0.2])[:2] == ["image,b,a", "t0,1,0"]


def test_cells_that_are_empty_or_uncertain_are_unknown(host):
    host.labels(["a", "b"], lambda n: [("1", "", "-1", "0")[n % 4], ("1.0", "0.0", "")[n % 3]])
    host.asks(["a", "b"], 0.5, 0.5).new()
    assert host.config.unknown_labels == ["-1"]
    data = competition.load(host.config, competition_root(host.settings()))
    np.testing.assert_array_equal(data.train.truth[:4, 0], [1, np.nan, np.nan, 0])
    assert [a.values for a in host.config.attributes] == [["0", "1"], ["0.0", "1.0"]]


def test_probabilities_of_labels_that_are_words_are_those_of_the_value_that_does_not_deny(host):
    host.labels(["paint", "tumour"], lambda n: [("yes", "no")[n % 2], ("benign", "malign")[n % 3 % 2]])
    host.asks(["paint", "tumour"], 0.5, 0.5).new()
    assert facts(host) == ("labels", ("paint", "tumour"), "probabilities", "auc")
    assert [a.values for a in host.config.attributes] == [["no", "yes"], ["benign", "malign"]]
    assert submitted(host, [0.9, 0.2])[1] == "t0,0.9,0.2"
    host.labels(["paint", "side"], lambda n: [("yes", "no")[n % 2], ("left", "right")[n % 3 % 2]])
    text = host.asks(["paint", "side"], 0.5, 0.5).refused()
    assert "nothing says of which of its values it is the probability" in text


@pytest.mark.parametrize(("absent", "said"), [("", "an empty cell"), ("-1", "-1")])
def test_marks_without_any_zero_have_another_cell_for_labels_that_do_not_hold(host, absent, said):
    host.labels(["a", "b"], lambda n: [("1", absent)[n % 2], ("1", absent, absent)[n % 3]])
    host.asks(["a", "b"], 0.5, 0.5).new()
    assert f"no cell is 0, so that {said} says that a label does not hold" in reasons(host)
    assert facts(host) == ("labels", ("a", "b"), "probabilities", "auc") and not host.config.unknown_labels
    data = competition.load(host.config, competition_root(host.settings()))
    np.testing.assert_array_equal(data.train.truth[:4], [[1, 1], [0, 0], [1, 0], [0, 1]])
    host.asks(["a", "b"], each=lambda n: [n % 2, 0]).new()
    assert submitted(host, [0.9, 0.1])[:2] == ["image,a,b", "t0,1,0"]


def test_one_mark_in_each_row_and_nothing_else_is_a_class(host):
    host.labels(list("abc"), lambda n: ["1.0" if n % 3 == k else "" for k in range(3)])
    host.asks(list("cab"), 0.3, 0.3, 0.4).new()
    assert facts(host)[:3] == ("exclusive", ("c", "a", "b"), "probabilities")
    data = competition.load(host.config, competition_root(host.settings()))
    assert data.train.labels[:3].tolist() == [1, 2, 0]


def test_grades_in_words_stand_in_the_order_of_their_meaning(host):
    host.labels(["severity"], lambda n: [("Mild", "None", "Severe", "Moderate")[n % 4]])
    host.asks(["severity"], "None").new()
    assert host.config.attributes[0].values == ["None", "Mild", "Moderate", "Severe"]
    assert submitted(host, [0.1, 0.2, 0.3, 0.4])[1] == "t0,Severe"


def test_sides_of_an_image_are_a_hint_not_to_mirror_it(host):
    host.labels(["left_eye", "right_eye"], lambda n: [n % 2, n % 3 % 2])
    host.asks(["left_eye", "right_eye"], 0.5, 0.5).new()
    assert "if left_eye and right_eye are sides of the image, a mirrored one has them" in reasons(host)
    host.labels(["bright", "leftover"], lambda n: [n % 2, n % 3 % 2]).asks(["bright", "leftover"], 0.5, 0.5)
    assert "mirrored" not in reasons(host.new())


def test_labels_that_hold_wherever_they_are_known_are_named(host):
    host.labels(["a", "b"], lambda n: [n % 2, ("1", "")[n % 2]]).asks(["a", "b"], 0.5, 0.5).new()
    (line,) = [line for line in reasons(host).splitlines() if "nothing can be learned" in line]
    assert "train.csv: b hold in every row where they are known" in line and "`values: ['', '1']`" in line


@pytest.mark.parametrize(
    ("cell", "asked", "answer", "between"),
    [
        (lambda n: " ".join("abc"[: n % 3 + 1]), "a", "a b", None),
        (lambda n: "|".join("abc"[n % 3 :]), "a|b", "a|b", "|"),
        (lambda n: ";".join("abc"[n % 3 :]), "", "a;b", ";"),
    ],
)
def test_words_of_a_cell_are_labels_and_are_written_as_the_sample_does(host, cell, asked, answer, between):
    host.labels(["tags"], lambda n: [cell(n)]).asks(["tags"], asked).new()
    assert facts(host) == ("labels", ("a", "b", "c"), "words", "samples_f1")
    assert host.config.submission.separator == between
    assert submitted(host, [0.9, 0.8, 0.1])[1] == f"t0,{answer}"
    assert "its cells hold several words, e.g." in reasons(host)


@pytest.mark.parametrize("asked", ["sky; sea", "sky", ""])
def test_a_blank_behind_each_separator_is_written_too(host, asked):
    host.labels(
        ["tags"], lambda n: ["; ".join(w for k, w in enumerate(("sky", "sea", "sand")) if n >> k & 1)]
    )
    host.asks(["tags"], asked).new()
    assert host.config.label_separator == ";" and host.config.submission.separator == "; "
    assert submitted(host, [0.9, 0.2, 0.8])[1] == "t0,sand; sky"


def test_words_that_are_numbers_meet_a_placeholder_and_rows_without_any(host):
    host.labels(["Target"], lambda n: [("25 0", "16", "", "25")[n % 4]]).asks(["Predicted"], 0).new()
    assert facts(host)[:3] == ("labels", ("0", "16", "25"), "words")
    assert "a guess: the sample's '0'" not in reasons(host), "0 is one of the labels"
    assert host.config.submission.no_label == ""
    assert submitted(host, [0.1, 0.2, 0.3])[1] == "t0,"
    assert submitted(host, [0.9, 0.2, 0.7])[1] == "t0,0 25"


def test_lists_of_words_are_labels(host):
    genres = (["Drama"], ["Drama", "Film Noir"], ["Comedy"], ["Comedy", "Drama"])
    host.labels(["Genre"], lambda n: [str(genres[n % 4])]).asks(
        ["Comedy", "Drama", "Film Noir"], 0.5, 0.5, 0.5
    )
    host.new()
    assert facts(host)[:3] == ("labels", ("Comedy", "Drama", "Film_Noir"), "probabilities")
    assert submitted(host, [0.5, 0.25, 0.125])[1] == "t0,0.5,0.25,0.125"
    data = competition.load(host.config, competition_root(host.settings()))
    assert data.train.truth[:4].tolist() == [[0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 1, 0]]
    host.asks(["Genre"], "['Drama', 'Comedy']")
    assert "only words with a text between them can be written" in host.refused()


def test_some_words_may_only_stand_alone(host):
    known = ("healthy", "scab", "rust", "scab spot", "complex", "rust spot", "mildew")
    host.labels(["labels"], lambda n: [known[n % 7]]).asks(["labels"], "healthy").new()
    assert facts(host)[:3] == ("labels", ("complex", "healthy", "mildew", "rust", "scab", "spot"), "words")


def test_words_that_no_cell_combines_are_told_by_the_sample(host):
    host.labels(["tags"], lambda n: [("hazy day", "clear day lake")[n % 2]])
    host.asks(["tags"], "clear lake").new()
    assert facts(host)[:3] == ("labels", ("clear", "day", "hazy", "lake"), "words")


def test_words_of_a_cell_may_be_the_samples_columns(host):
    host.labels(["Finding Labels"], lambda n: [("Edema|Mass", "Mass", "No Finding", "Edema")[n % 4]])
    host.asks(["Mass", "Edema", "No Finding", "Hernia"], 0.5, 0.5, 0.5, 0.5).new()
    kind, names, form, _ = facts(host)
    assert (kind, names, form) == ("labels", ("Edema", "Hernia", "Mass", "No_Finding"), "probabilities")
    assert submitted(host, [0.1, 0.2, 0.3, 0.4])[:2] == [
        "image,Mass,Edema,No Finding,Hernia",
        "t0,0.3,0.1,0.4,0.2",
    ]


def test_levels_of_labels_have_columns_in_the_sample(host):
    grade = {"left": lambda n: GRADES[n % 3], "right side": lambda n: GRADES[n // 2 % 3] if n else ""}
    host.labels(list(grade), lambda n: [f(n) for f in grade.values()])
    levels = ("normal_mild", "moderate", "severe")
    asked = [f"{side}_{level}" for side in ("left", "right_side") for level in levels]
    host.asks(asked, *[0.33] * 6).new()
    kind, names, form, metric = facts(host)
    assert (kind, form, metric) == ("labels", "probabilities", "log_loss")
    assert names[:3] == ("left · Normal/Mild", "left · Moderate", "left · Severe")
    assert submitted(host, [0.5, 0.25, 0.25, 0, 0, 1])[1] == "t0,0.5,0.25,0.25,0.0,0.0,1.0"


def test_attributes_with_too_many_combinations_are_labels_by_themselves(host):
    rows = {"root": lambda n: n * 7 % 11, "vowel": lambda n: n % 4, "sign": lambda n: n * 5 % 3}
    host.labels(list(rows), lambda n: [f(n) for f in rows.values()]).asks(list(rows), 0, 0, 0).new()
    kind, names, form, metric = facts(host)
    assert (kind, form, metric, len(names)) == ("labels", "attributes", "macro_f1", 18)
    assert "132 combinations are many for 24 images" in reasons(host)
    p = np.zeros(18)
    p[[3, 11 + 1, 15 + 2]] = 1
    assert submitted(host, p)[1] == "t0,3,1,2"


# Values and shares


def test_numbers_are_values(host):
    host.labels(["score"], lambda n: [n + 0.5]).asks(["score"], 1.5).new()
    assert facts(host) == ("values", ("score",), "values", "rmse")
    assert "0.5 … 23.5" in reasons(host) and "numbers such as" in reasons(host)
    assert submitted(host, [42.25])[1] == "t0,42.25"
    host.labels(["x1", "y1"], lambda n: [n + 0.5, n / 3]).asks(["y1", "x1"], 0, 0).new()
    assert facts(host) == ("values", ("y1", "x1"), "values", "rmse")
    assert submitted(host, [1, 2])[:2] == ["image,y1,x1", "t0,1.0,2.0"]


def test_numbers_that_are_not_known_are_no_classes(host):
    host.labels(["weight"], lambda n: [("NaN", "", f"{n}.5")[min(n, 2)]]).asks(["weight"], 1.5).new()
    assert host.config.target == "values" and host.config.unknown_labels == ["NaN"]
    data = competition.load(host.config, competition_root(host.settings()))
    assert np.isnan(data.train.truth[:2]).all() and data.train.truth[2] == 2.5


def test_a_decimal_answer_makes_values_of_grades_and_whole_answers_leave_classes(host):
    host.labels(["score"], lambda n: [n % 6]).asks(["score"], 2.5).new()
    assert host.config.target == "values"
    host.asks(["score"], 2).new()
    assert facts(host)[0] == "exclusive" and host.config.metric == "qwk"


def test_the_user_says_what_whole_numbers_are(host):
    host.labels(["price"], lambda n: [100 + 37 * (n % 23)]).asks(["price"], 150).new()
    assert host.config.target == "values"
    assert "if they are classes: TARGET=exclusive LABEL=price" in reasons(host)
    host.new(target="exclusive", label="price")
    assert host.config.target == "exclusive" and len(host.config.attributes[0].values) == 23
    host.labels(["grade"], lambda n: [n % 4]).asks(["grade"], 0).new(target="values")
    assert facts(host) == ("values", ("grade",), "values", "rmse")
    host.labels(["kind"], lambda n: [SHADES[n % 3]])
    assert "values are numbers" in host.refused(target="values")


def test_votes_and_fractions_are_shares(host):
    votes = {"seizure_vote": lambda n: n % 3, "lpd_vote": lambda n: 2, "other_vote": lambda n: n % 2 + 1}
    host.labels(list(votes), lambda n: [f(n) for f in votes.values()])
    host.asks(list(votes), 0.3333, 0.3333, 0.3334).new()
    assert facts(host) == ("shares", tuple(votes), "probabilities", "kl")
    assert submitted(host, [0.5, 0.25, 0.25])[1] == "t0,0.5,0.25,0.25"
    host.labels(["smooth", "disk"], lambda n: [n % 4 / 4, 1 - n % 4 / 4]).asks(["disk", "smooth"], 0, 0).new()
    assert facts(host)[:2] == ("shares", ("disk", "smooth"))


def test_decimals_of_their_own_are_no_shares_though_the_samples_sum_to_one(host):
    host.labels(["valence", "arousal"], lambda n: [n / 24, (7 * n % 24) / 24])
    host.asks(["valence", "arousal"], 0.5, 0.5).new()
    assert facts(host) == ("values", ("valence", "arousal"), "values", "rmse")


# Ranked answers


def percent(n):
    a, b = n % 7 * 10, n % 4 * 10
    return [a, b, 100 - a - b]


def test_shares_are_written_on_the_scale_of_the_sample(host):
    host.labels(["tree", "grass", "water"], percent).asks(["tree", "grass", "water"], 33.3, 33.3, 33.4).new()
    assert facts(host)[0] == "shares" and host.config.submission.total == 100
    assert submitted(host, [0.5, 0.3, 0.2])[:2] == ["image,tree,grass,water", "t0,50,30,20"]
    assert "which sum to 100 in a row" in host.last
    host.asks(["tree", "grass", "water"], 0.3, 0.3, 0.4).new()
    assert host.config.submission.total == 1


def test_the_scale_of_shares_is_asked_where_the_sample_does_not_show_it(host):
    host.labels(["tree", "grass", "water"], percent).asks(["tree", "grass", "water"], 0, 0, 0).new()
    assert "what do the shares of a row sum to? 100 in the training table" in host.asked
    assert host.answer(0).submission.total == 100 and host.config.target == "shares"
    assert submitted(host, [0.5, 0.3, 0.2])[1] == "t0,50,30,20"


def test_shares_that_do_not_sum_to_their_total_are_a_fault(host):
    host.labels(["tree", "grass", "water"], percent).asks(["tree", "grass", "water"], 33.3, 33.3, 33.4).new()
    space = competition.label_space(host.config)
    mine = table(host.root / "mine.csv", ["image", "tree", "grass", "water"], [("t0", 0.5, 0.3, 0.2)])
    with pytest.raises(DataError) as caught:
        host_format.read(mine, space, host.config.submission)
    assert "id 't0': sums to 1, not 100" in caught.value.faults[0]


def test_a_sample_that_names_several_classes_asks_for_the_most_probable_ones(host):
    host.labels(["whale"], lambda n: [f"w{n % 9}"]).asks(["whale"], "w0 w2 w3 w4 w1").new()
    assert facts(host)[2:] == ("top_k", "map@5") and host.config.submission.k == 5
    assert submitted(host, np.linspace(0, 1, 9) / 4.5)[1] == "t0,w8 w7 w6 w5 w4"
    host.labels(["id"], lambda n: [(n % 13) * 97]).asks(["landmarks"], "8815 0.03").new()
    found = host.config
    assert (found.submission.k, found.submission.confidence, found.metric) == (1, True, "gap")


# Long form


def test_a_row_for_each_image_and_class_is_a_probability_each(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]])
    rows = [(f"t{n}_{kind}", 0.3) for n in range(TESTS) for kind in SHADES]
    host.asks_long(["image", "p"], rows).new()
    found = host.config.submission
    assert (found.long_id, found.format, found.label_column) == ("{id}_{answer}", "probabilities", "p")
    assert "long form: a row of the sample is one answer for one image, e.g. 't0_cat'" in reasons(host)
    assert submitted(host, [0.1, 0.2, 0.7])[:4] == ["image,p", "t0_cat,0.1", "t0_dog,0.2", "t0_bird,0.7"]
    host.test = host.root / "test"
    host.new()
    assert len(submitted(host, [0.1, 0.2, 0.7])) == 1 + 3 * TESTS


def test_images_whose_names_end_like_classes_are_no_long_form(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]])
    for n in range(2):
        for kind in SHADES[:2]:
            (host.root / "test" / f"p{n}_{kind}.png").write_bytes((host.root / "test/t0.png").read_bytes())
    rows = [(f"p{n}_{kind}", "cat") for n in range(2) for kind in SHADES[:2]]
    host.asks_long(["image", "kind"], rows).new()
    assert host.config.submission.long_id is None and host.config.submission.format == "class_name"


def test_a_test_table_with_a_row_for_each_answer_has_each_image_once(host):
    parts = {"vowel_diacritic": 4, "grapheme_root": 3}
    host.labels(["grapheme_root", "vowel_diacritic"], lambda n: [n % 3, n % 4])
    rows = [(f"t{n}_{part}", f"t{n}", part) for n in range(TESTS) for part in parts]
    host.test = table(host.root / "test.csv", ["row_id", "image", "component"], rows)
    host.asks_long(["row_id", "target"], [(r[0], 0) for r in rows]).new()
    found = host.config
    assert (found.submission.format, found.submission.long_id) == ("attributes", "{id}_{answer}")
    data = competition.load(found, competition_root(host.settings()))
    assert data.test.ids_N.tolist() == [f"t{n}" for n in range(TESTS)]
    p = np.eye(data.train.space.n_classes)[5] if found.target == "exclusive" else None
    assert submitted(host, p)[1] == "t0_vowel_diacritic,1"


def test_answers_may_be_named_in_a_column_beside_ids_that_repeat(host):
    host.labels(["left", "right"], lambda n: [n % 2, n % 3 % 2])
    rows = [(f"t{n}", side, 0.5) for n in range(TESTS) for side in ("right", "left")]
    host.asks_long(["image", "side", "p"], rows).new()
    found = host.config
    assert (found.submission.long_column, found.submission.label_column) == ("side", "p")
    assert facts(host)[:3] == ("labels", ("right", "left"), "probabilities")
    assert submitted(host, [0.9, 0.2])[:3] == ["image,side,p", "t0,right,0.9", "t0,left,0.2"]


def test_long_form_may_have_a_column_for_each_level(host):
    sides = ("left_canal_l1", "right_canal_l1")
    host.labels(list(sides), lambda n: [GRADES[n % 3], GRADES[n // 2 % 3]])
    rows = [(f"t{n}_{side}", 0.33, 0.33, 0.34) for n in range(TESTS) for side in sides]
    host.test = host.root / "test"
    host.asks_long(["row_id", "normal_mild", "moderate", "severe"], rows).new()
    assert facts(host)[2:] == ("probabilities", "log_loss")
    written = submitted(host, [0.5, 0.25, 0.25, 0, 0, 1])
    assert written[1:3] == ["t0_left_canal_l1,0.5,0.25,0.25", "t0_right_canal_l1,0.0,0.0,1.0"]


def test_columns_of_marks_without_a_sample_are_labels(host):
    host.labels(["drama", "crime", "war", "fun"], lambda n: [n % 2, n % 3 % 2, n // 3 % 2, 1]).new()
    assert facts(host) == ("labels", ("drama", "crime", "war", "fun"), "probabilities", "auc")


def test_grades_whose_columns_have_blanks_in_their_names_are_written_under_the_hosts_names(host):
    grades = ["Retinopathy grade", "Risk of edema"]
    host.labels(grades, lambda n: [n % 3, n % 2]).asks(grades, 0, 0).new()
    assert host.config.submission.columns == {"Retinopathy_grade": grades[0], "Risk_of_edema": grades[1]}
    assert host.config.submission.format == "attributes" and not host.said.question


# Training tables in long form

FINDINGS = ("edema", "lung_mass", "any")
FORMS = {
    "ids": (lambda i, a, v: (f"{i}_{a}", v), ["ID", "Label"]),
    "columns": (lambda i, a, v: (i, a, v), ["image", "finding", "value"]),
}


def long_host(host, form):
    """Three answers for each image, in as many rows, in the training table and in the sample."""
    row, header = FORMS[form]
    truth = {f"i{n}": [n % 2, n % 3 % 2, int(n % 2 or n % 3 % 2)] for n in range(N)}
    every = [row(i, a, v) for i, told in truth.items() for a, v in zip(FINDINGS, told, strict=True)]
    host.train = table(host.root / "train.csv", header, every)
    asked = [row(f"t{n}", a, 0.5) for n in range(TESTS) for a in FINDINGS]
    host.asks_long(header, asked).new()
    return truth


@pytest.mark.parametrize("form", FORMS)
def test_a_training_table_with_a_row_for_each_image_and_answer_is_read_with_each_image_once(host, form):
    truth, config = long_host(host, form), host.config
    assert config.target == "labels" and [a.column for a in config.attributes] == list(FINDINGS)
    data = competition.load(config, competition_root(host.settings()))
    assert dict(zip(data.train.ids_N.tolist(), data.train.truth.tolist(), strict=True)) == truth
    found = submitted(host, [0.9, 0.6, 0.7])
    assert len(found) == 1 + 3 * TESTS and found[2].endswith(",0.6")


def test_an_answer_that_is_missing_for_an_image_is_told_with_the_image(host):
    long_host(host, "ids")
    kept = [line for line in host.train.read_text().splitlines() if not line.startswith("i7_any")]
    host.train.write_text("\n".join(kept) + "\n")
    with pytest.raises(DataError) as caught:
        competition.load(host.config, competition_root(host.settings()))
    assert any("i7" in fault and "any" in fault for fault in caught.value.faults)


def test_an_answer_that_is_given_twice_for_an_image_is_told_with_its_line(host):
    rows = [(f"i{n}", kind, int((n >> k) % 2)) for n in range(N) for k, kind in enumerate("ab")]
    host.train = table(host.root / "train.csv", ["image", "kind", "value"], rows)
    host.asks(["a", "b"], 0.5, 0.5).new()
    with (host.root / "train.csv").open("a", encoding="utf-8") as file:
        file.write("i0,a,1\n")
    with pytest.raises(DataError) as caught:
        competition.load(host.config, competition_root(host.settings()))
    assert f"row 'i0 · a' (line {2 * N + 2}) names an image and an answer that" in caught.value.faults[0]


def test_pictures_of_a_patient_whose_names_end_alike_are_no_long_form(host):
    names = [f"p{n // 2}_{('left', 'right')[n % 2]}" for n in range(N)]
    for name in names:
        picture(host.root / "train" / f"{name}.png", 10)
    host.train = table(
        host.root / "train.csv", ["image", "sick"], [(i, n // 2 % 2) for n, i in enumerate(names)]
    )
    host.asks(["sick"], 0.5).new()
    assert host.config.long_table is None


ORGANS = ("bowel_healthy", "bowel_injury", "kidney_healthy", "kidney_low", "kidney_high", "any_injury")


def organs(n):
    """Rows of columns of 0 and 1 of the kind of RSNA's abdominal trauma: blocks of levels, and one mark."""
    bowel, kidney = int(n % 5 == 0), n % 3
    marks = [1 - bowel, bowel, *(int(kidney == k) for k in range(3)), int(bowel or kidney > 0)]
    return [str(m) for m in marks]


@pytest.mark.parametrize("asked", [ORGANS, ORGANS[:5], tuple(reversed(ORGANS))])
def test_columns_of_a_common_prefix_that_exclude_each_other_are_levels_of_a_label(host, asked):
    """The host gets a probability for each of its columns, those of first levels too."""
    host.labels(ORGANS, organs).asks(asked, *["0.5"] * len(asked)).new()
    target, classes, form, metric = facts(host)
    assert (target, form, metric) == ("labels", "probabilities", "log_loss")
    kidney = ("kidney · healthy", "kidney · low", "kidney · high")
    assert set(classes) == {"bowel", *kidney, *({"any_injury"} & set(asked))}
    p = dict(zip(("bowel", *kidney, "any_injury"), (0.25, 0.125, 0.375, 0.5, 0.75), strict=True))
    rows = submitted(host, [p[c] for c in classes])
    of_host = {"bowel_healthy": 0.75, "bowel_injury": 0.25, "any_injury": 0.75}
    of_host |= {c.replace(" · ", "_"): p[c] for c in kidney}
    assert rows[0] == ",".join(["image", *asked])
    assert [float(cell) for cell in rows[1].split(",")[1:]] == [of_host[c] for c in asked]
    data = competition.load(host.config, competition_root(host.settings()))
    y = dict(zip(classes, data.train.truth[5].tolist(), strict=True))
    assert y["bowel"] == 1 and y["kidney · high"] == 1 and y["kidney · low"] == 0


def test_both_levels_of_a_label_of_two_sum_to_one_in_a_submission(host):
    host.labels(ORGANS, organs).asks(ORGANS, *["0.5"] * 6).new()
    path = host.root / "mine.csv"
    rows = [[f"t{n}", "0.6", "0.6", "0.2", "0.3", "0.5", "0.1"] for n in range(TESTS)]
    table(path, ["image", *ORGANS], rows)
    data = competition.load(host.config, competition_root(host.settings()))
    with pytest.raises(DataError, match="bowel_healthy, bowel_injury sum to 1"):
        host_format.read(path, data.train.space, host.config.submission, host.sample)


@pytest.mark.parametrize(
    ("columns", "cells", "mirrored"),
    [
        (["steering"], lambda n: [f"{(n % 9 - 4) / 4:.2f}"], True),
        (["offset"], lambda n: [f"{(n % 9 - 4) / 4:.3f}"], True),
        (["price"], lambda n: [f"{100.5 + n}"], False),
        (["label"], lambda n: [("turn left", "turn right")[n % 2]], True),
        (["label"], lambda n: [SHADES[n % 3]], False),
        (["digit"], lambda n: [str(n % 3)], True),
    ],
)
def test_mirrors_are_left_out_where_they_would_change_the_answer(host, columns, cells, mirrored):
    host.labels(columns, cells).new()
    config = host.settings().config
    forbidden = [attribute.forbids for attribute in config.competition.attributes]
    assert all(("hflip" in own) == mirrored for own in forbidden)
    assert ("hflip" in config.infer.views) != mirrored and (config.augment.policy == "upright") == mirrored
    assert config.train.probe_views == config.infer.views, "heads train on what they predict"
    assert ("probe_places" in config.ensemble.members) == (config.competition.target == "values")
