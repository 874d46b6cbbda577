"""Hosts' files in many forms: what `make new` proves from the sample, what it asks, and what it refuses."""

import ast

import numpy as np
import pytest
from bring_world import picture, table
from host_world import SHADES, TESTS, Host

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Probabilities
from pipeline.data import answer_cells, competition, host_format
from pipeline.data.host import competition_root
from pipeline.settings.load import CONFIGS
from pipeline.submit import validate


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


# One probability


@pytest.mark.parametrize(
    ("values", "column", "cell", "positive"),
    [
        ("01", "target", "0", "1"),
        ("01", "has_cactus", "0.5", "1"),
        (("no", "yes"), "target", "0.5", "yes"),
        (("benign", "malignant"), "target", "0", "malignant"),
        (("cat", "dog"), "is_cat", "0.5", "cat"),
        (("no finding", "tumor"), "target", "0.5", "tumor"),
        (("hotdog", "not_hotdog"), "target", "0.5", "hotdog"),
        (("0.0", "1.0"), "target", "0.0", "1.0"),
    ],
)
def test_two_classes_and_one_number_are_one_probability(host, values, column, cell, positive):
    host.labels([column], lambda n: [values[n % 2]]).asks([column], cell).new()
    found = host.config
    assert (found.submission.format, found.submission.positive) == ("probability", [positive])
    assert found.metric == "auc" and "a guess" in "\n".join(host.said.lines)
    assert host.last.endswith(f"1 column `{column}` = the probability of class `{positive}`")


def test_which_class_a_probability_means_is_asked_where_nothing_says_it(host):
    host.labels(["pet"], lambda n: [SHADES[n % 2]]).asks(["label"], 0.5).new()
    assert host.asked.startswith("question: which class is meant by one probability")
    assert (
        'Set competition.submission.positive=["cat"] or competition.submission.positive=["dog"]' in host.asked
    )
    with pytest.raises(ConfigError, match="positive is missing: name the class"):
        host.settings()
    found = host.settings("competition.submission.positive=dog").config.competition
    assert found.submission.positive == ["dog"]
    assert host.answer(1).submission.positive == ["dog"]
    host.new()
    with pytest.raises(ConfigError, match="auc needs probabilities"):
        host.answer(2)


def test_a_number_for_several_classes_is_asked_with_lines_to_paste(host):
    kinds = ("Cover", "JMiPOD", "JUNIWARD", "UERD")
    host.labels(["kind"], lambda n: [kinds[n % 4]]).asks(["Label"], 0).new()
    assert "`format: null`" in host.asked and "The sample's column `Label` holds 0" in host.asked
    found = host.answer(2)
    assert (found.submission.format, found.submission.positive) == ("probability", list(kinds[1:]))
    host.new()
    assert host.answer(0).submission.format == "class_name"
    host.new()
    with pytest.raises(ConfigError):
        host.answer(1)


def test_the_class_that_denies_is_not_among_those_whose_probability_is_offered(host):
    kinds = ("benign lesion", "melanoma", "normal", "nevus")
    host.labels(["kind"], lambda n: [kinds[n % 4]]).asks(["target"], 0).new()
    assert host.answer(2).submission.positive == ["benign lesion", "melanoma", "nevus"]


def test_columns_that_no_class_names_are_asked_with_a_line_for_every_class(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]]).asks(["p1", "p2", "p3"], 0.1, 0.2, 0.3).new()
    assert '    columns: {"bird": "…", "cat": "…", "dog": "…"}' in host.asked.splitlines()
    path = host.folder / "competition" / "x.yaml"
    with pytest.raises(ConfigError):
        host.answer(0)
    text = path.read_text(encoding="utf-8")
    for column in ("p2", "p1", "p3"):
        text = text.replace('"…"', f'"{column}"', 1)
    path.write_text(text, encoding="utf-8")
    assert host.config.submission.columns == {"bird": "p2", "cat": "p1", "dog": "p3"}


def test_hard_labels_of_two_classes_stay_hard(host):
    host.labels(["target"], lambda n: [n % 2]).asks(["target"], each=lambda n: [n % 2]).new()
    assert host.config.submission.format == "class_name" and host.config.metric == "accuracy"


@pytest.mark.parametrize("metric", ["auc", "log_loss"])
def test_a_metric_of_scores_refuses_hard_labels(host, metric):
    host.labels(["target"], lambda n: [n % 3]).asks(["target"], each=lambda n: [n % 3]).new()
    with pytest.raises(ConfigError, match=f"{metric} needs probabilities, and .* only the most probable"):
        host.settings(f"competition.metric={metric}")


# The host's words and columns


@pytest.mark.parametrize(
    ("values", "cells", "words"),
    [
        ("0246", "0", "0246"),
        ("1234", "1", "1234"),
        (("-1", "0", "1", "2"), "0", ("-1", "0", "1", "2")),
        (("0.0", "1.0", "2.0"), "0", "012"),
        ("012", "1.0", ("0.0", "1.0", "2.0")),
        (SHADES, "DOG", ("BIRD", "CAT", "DOG")),
        (("1", "2", "3"), "003", ("001", "002", "003")),
    ],
)
def test_classes_are_written_as_the_sample_writes_them(host, values, cells, words):
    host.labels(["kind"], lambda n: [values[n % len(values)]]).asks(["kind"], cells).new()
    data = competition.load(host.config, competition_root(host.settings()))
    assert answer_cells.vocabulary(data.train.space, host.config.submission) == tuple(words)
    assert host.config.submission.format == "class_name"


def test_a_placeholder_is_not_taken_for_a_class_and_that_is_said(host):
    host.labels(["label"], lambda n: [n % 3 + 1]).asks(["label"], 0).new()
    assert "a guess: the sample's 0 is a placeholder" in "\n".join(host.said.lines)
    assert host.last.endswith("(1, 2, 3)")


@pytest.mark.parametrize(
    ("values", "cell"), [(("no", "yes"), 50), (SHADES, 100), (("1", "2", "3"), 99), (SHADES, 7)]
)
def test_a_number_that_is_neither_a_class_nor_an_empty_answer_is_asked(host, values, cell):
    host.labels(["label"], lambda n: [values[n % len(values)]]).asks(["label"], cell).new()
    assert f"The sample's column `label` holds {cell}" in host.asked
    assert host.answer(0).submission.format == "class_name"


def test_words_and_numbers_are_paired_by_a_table_or_asked_and_never_by_their_order(host):
    host.labels(["animal"], lambda n: [SHADES[n % 3]]).asks(["answer"], each=lambda n: [n % 3 + 1])
    host.new()
    assert "The sample's column `answer` holds 1, 2, 3, and the label holds bird, cat, dog" in host.asked
    with pytest.raises(ConfigError, match="format is not decided"):
        host.settings()
    table(host.root / "classes.csv", ["number", "name"], [(3, "bird"), (1, "cat"), (2, "dog")])
    host.new()
    assert host.config.submission.words == {"animal": ["3", "1", "2"]} and not host.said.question


@pytest.mark.parametrize(
    ("separator", "order", "moods"),
    [
        ("_", ("mood", "sex"), ("sad", "neutral")),
        (" ", ("sex", "mood"), ("sad", "neutral")),
        ("-", ("mood", "sex"), ("sad", "neutral")),
        ("_", ("mood", "sex"), ("0", "1")),
    ],
)
def test_joined_values_are_recognised_with_separator_and_order(host, separator, order, moods):
    cells = {"mood": moods, "sex": ("male", "female") if moods[0] != "0" else ("5", "6")}
    host.labels(["sex", "mood"], lambda n: [cells["sex"][n // 2 % 2], cells["mood"][n % 2]])
    host.asks(["answer"], separator.join(cells[c][1] for c in order)).new()
    assert [a.column for a in host.config.attributes] == list(order)
    assert host.config.submission.separator == separator
    first = separator.join(sorted(cells[c])[0] for c in order)
    assert f"the most probable class ({first}, " in host.last


def test_columns_named_after_labels_are_answered_one_by_one(host):
    host.labels(["mood", "sex"], lambda n: [SHADES[n % 3], "mf"[n % 2]]).asks(
        ["mood", "sex"], "cat", "m"
    ).new()
    assert host.config.submission.format == "attributes" and len(host.config.attributes) == 2
    assert host.last.endswith("2 columns: `mood` = bird, cat, dog; `sex` = f, m")


def test_numbers_in_columns_of_words_are_asked_about_and_among_numbers_called_placeholders(host):
    host.labels(["mood", "sex"], lambda n: [SHADES[n % 3], "mf"[n % 2]]).asks(["mood", "sex"], 0, "m").new()
    assert (
        host.said.question
        and "the column `mood` holds 0, and the label holds bird, cat, dog" in "\n".join(host.said.lines)
    )
    assert host.last.strip() == 'words: {"mood": ["…", "…", "…"]}'
    found = host.settings("competition.submission.format=attributes").config.competition
    assert found.submission.words is None
    table(host.root / "moods.csv", ["number", "name"], [(2, "bird"), (1, "cat"), (0, "dog")])
    host.new()
    assert host.config.submission.words == {"mood": ["2", "1", "0"]} and not host.said.question
    host.labels(["mood", "sex"], lambda n: [n % 3 + 1, "mf"[n % 2]]).asks(["mood", "sex"], 0, "m").new()
    assert "a guess: `mood` = 0: placeholders" in "\n".join(host.said.lines) and not host.said.question


def test_a_number_in_the_column_of_a_label_of_words_is_asked_about(host):
    host.labels(["animal"], lambda n: [SHADES[n % 3]]).asks(["animal"], 0).new()
    assert host.said.question
    told = "\n".join(host.said.lines)
    assert "The sample's column `animal` holds 0, and the label holds bird, cat, dog" in told
    table(host.root / "classes.csv", ["number", "name"], [(2, "bird"), (1, "cat"), (0, "dog")])
    host.new()
    assert host.config.submission.words == {"animal": ["2", "1", "0"]} and not host.said.question


# The host's tables in another form: encoding, delimiter, decimal comma


def test_a_sample_with_semicolons_and_decimal_commas_is_answered_in_its_form(host):
    host.labels(["target"], lambda n: [n % 2]).asks(["target"], "x")
    host.sample.write_text(host.sample.read_text().replace(",", ";").replace("x", "0,5"), encoding="utf-8")
    host.new()
    found = host.config.submission
    assert (found.format, found.positive) == ("probability", ["1"])
    data = competition.load(host.config, competition_root(host.settings()))
    p_NC = np.tile(np.float32([0.75, 0.25]), (TESTS, 1))
    made, space = host.root / "made.csv", data.train.space
    probabilities = Probabilities(data.test.ids_N, space.classes, p_NC, "p")
    host_format.write(made, probabilities, space, found, host.sample)
    assert made.read_text(encoding="utf-8").splitlines()[1] == "t0;0,25"
    host_format.check(made, host.sample, space, found)
    assert host_format.read(made, space, found, host.sample).probabilities.p_NC[0].tolist() == [0.75, 0.25]
    made.write_text(made.read_text().replace("0,25", "0.25"), encoding="utf-8")
    with pytest.raises(DataError, match=r"numbers have decimal points, e.g. 0.25"):
        host_format.check(made, host.sample, space, found)
    repaired = validate.check(made, host.sample, space, found).repaired
    assert repaired.decode().splitlines()[1] == "t0;0,25"


def test_a_comma_in_a_cell_between_commas_is_asked_about(host):
    host.labels(["kind"], lambda n: [n % 3]).asks(["kind"], "0,5")
    assert "`0,5` may be one number with a decimal comma, or several answers" in host.refused()


def test_the_encoding_of_the_competition_holds_for_the_sample_as_for_every_table(host):
    names = ("лось", "волк", "заяц")
    host.labels(["зверь"], lambda n: [names[n % 3]]).asks(["зверь"], each=lambda n: [names[n % 3]])
    for path in (host.train, host.sample):
        path.write_bytes(path.read_text(encoding="utf-8").encode("cp1251"))
    host.new(encoding="cp1251")
    assert host.config.submission.format == "class_name" and not host.said.question
    data = competition.load(host.config, competition_root(host.settings()))
    space, made, found = data.train.space, host.root / "made.csv", host.config
    answers = Probabilities(data.test.ids_N, space.classes, np.eye(3, dtype=np.float32)[[0, 1, 2] * 2], "p")
    host_format.write(made, answers, space, found.submission, host.sample, found.encoding)
    host_format.check(made, host.sample, space, found.submission, found.encoding)
    host_format.fits(host.sample, data.test.ids_N, space, found.submission, found.encoding)
    assert validate.check(host.sample, host.sample, space, found.submission, found.encoding).is_sample
    made.write_bytes(made.read_bytes().decode().encode("cp1251"))
    read = host_format.read(made, space, found.submission, host.sample, found.encoding)
    assert read.labels_N.tolist() == [0, 1, 2] * 2


@pytest.mark.slow
def test_every_table_of_a_host_is_read_with_the_encoding_of_the_competition():
    """Podium's own files are UTF-8; every other call of a reader names the encoding."""
    own = {"submit/ledger.py", "submit/submit_log.py", "data/load.py"}
    readers = {"read_table", "write", "read", "check", "fits"}
    silent = []
    for path in (CONFIGS.parent / "pipeline").rglob("*.py"):
        name = path.relative_to(CONFIGS.parent / "pipeline").as_posix()
        for call in [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]:
            function = ast.unparse(call.func)
            of_format = function.startswith("host_format.") and function.rpartition(".")[2] in readers
            if (of_format or function == "read_table") and name not in own:
                silent += [f"{name}:{call.lineno}"] if "encoding" not in ast.unparse(call) else []
    assert not silent, silent


@pytest.mark.parametrize(
    ("values", "columns"),
    [
        (SHADES, ("dog", "cat", "bird")),
        ("012", ("class_0", "class_1", "class_2")),
        (SHADES, ("Dog", "Cat", "Bird")),
        (("a b", "c d"), ("a_b", "c_d")),
    ],
)
def test_a_column_for_each_class_whatever_its_spelling(host, values, columns):
    host.labels(["kind"], lambda n: [values[n % len(values)]]).asks(columns, *[0.25] * len(columns)).new()
    found = host.config
    assert (found.submission.format, found.metric) == ("probabilities", "log_loss")
    sample = answer_cells.columns_of(
        competition.load(found, competition_root(host.settings())).train.space, found.submission
    )
    assert sorted(sample) == sorted(columns)


def test_a_class_without_an_image_keeps_its_column(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]]).asks(["bird", "cat", "dog", "unknown"], 0, 0, 0, 1).new()
    assert host.config.attributes[0].values == ["bird", "cat", "dog", "unknown"]
    assert "unknown (0)" in "\n".join(host.said.lines)


def test_one_hot_columns_are_one_label(host):
    host.labels(list("abc"), lambda n: [int(n % 3 == c) for c in range(3)]).asks(list("cab"), 0.3, 0.3, 0.4)
    host.new()
    assert host.config.attributes[0].one_hot and host.config.attributes[0].values == ["c", "a", "b"]
    data = competition.load(host.config, competition_root(host.settings()))
    assert [data.train.space.classes[c] for c in data.train.labels[:4]] == ["a", "b", "c", "a"]
    text = (
        host.train.read_text(encoding="utf-8").replace("i1,0,1,0", "i1,1,1,0").replace("i2,0,0,1", "i2,0,0,0")
    )
    host.train.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        competition.load(host.config, competition_root(host.settings()))
    assert "2 of its columns are 1 (a, b)" in str(caught.value) and "no column is 1" in str(caught.value)


# Kinds that are refused, each by its name


def numbers(*cells):
    return lambda n: [cell(n) for cell in cells]


@pytest.mark.parametrize(
    ("header", "cells", "asks", "kind"),
    [
        (["kind"], numbers(lambda n: SHADES[n % 3]), (["kind", "sure"], "cat", 0.5), "nothing in train.csv"),
        (["kind"], numbers(lambda n: SHADES[n % 3]), (["lat", "lon"], 0, 0), "several answer columns"),
        (["kind"], numbers(lambda n: SHADES[n % 3]), (["kind"], 0.5), "more than two classes"),
        (["rle_mask"], numbers(lambda n: f"1 {n} 40 5"), (["rle_mask"], "1 1"), "segmentation is not"),
        (["ship"], numbers(lambda n: n % 2), (["EncodedPixels"], "1 2"), "segmentation is not supported"),
        (
            ["kind"],
            numbers(lambda n: SHADES[n % 3]),
            (["PredictionString"], ""),
            "detection is not supported",
        ),
        (["where"], numbers(lambda n: f'{{"x": {n % 3}, "w": 4}}'), (["where"], ""), "detection is not"),
        (["kind"], numbers(lambda n: f'{{"rle": "{n % 3} 4"}}'), (["kind"], ""), "segmentation is not"),
        (["kind"], numbers(lambda n: SHADES[n % 3]), (["kind"], '{"cat": 0.5, "dog": 0.5}'), "JSON object"),
        (
            ["kind"],
            numbers(lambda n: SHADES[n % 3]),
            (["kind"], "['cat', 'dog']"),
            "list of labels in brackets",
        ),
        (["caption"], numbers(lambda n: f"text {n}"), (["caption"], "text"), "each row has another answer"),
        (
            ["price"],
            numbers(lambda n: f"{n % 9 + 1},{n % 7}50"),
            (["price"], "1,000"),
            "thousands of numbers",
        ),
        (["price"], numbers(lambda n: (f"{n + 1}.250", "900")[n % 2]), (["price"], "1.000"), "thousands of"),
        (["weight"], numbers(lambda n: f"{1.5 + n % 9} kg"), (["weight"], 0), "the numbers have a unit"),
        (["cost"], numbers(lambda n: f"${n % 5}.50"), (["cost"], "$0.50"), "the numbers have a unit"),
    ],
)
def test_what_cannot_be_predicted_is_refused_by_name(host, header, cells, asks, kind):
    host.labels(header, cells).asks(*asks[:1], *asks[1:])
    assert kind in host.refused() and not (host.folder / "competition" / "x.yaml").exists()


@pytest.mark.parametrize(
    ("cell", "fields"),
    [
        ('{{"label": "{0}", "by": {{"age": 3}}}}', " (fields: label, by)"),
        ("{{'label': '{0}'}}", " (fields: label)"),
        ('[{{"name": "{0}"}}]', " (fields: name)"),
        ('["{0}"]', ""),
        ("('{0}',)", ""),
        ("[{0}]", ""),
    ],
)
@pytest.mark.parametrize("given", [None, "kind"])
def test_labels_inside_json_are_no_classes_and_their_fields_are_named(host, cell, fields, given):
    host.labels(["kind"], lambda n: [cell.format(SHADES[n % 3])]).asks(["kind"], "cat")
    text = host.refused(label=given)
    assert "column `kind`" in text and "is a JSON object or list, and not a class" in text
    assert f"write the label from these cells{fields} as a column of its own" in text


@pytest.mark.parametrize("names", [("(none)", "(some)"), ("(1)", "(2)"), ("f(x)", "g(x)"), ("{a", "b}")])
def test_names_with_brackets_are_classes(host, names):
    host.labels(["kind"], lambda n: [names[n % 2]]).asks(["kind"], names[0]).new()
    assert host.config.attributes[0].values == sorted(names)


def test_answers_that_name_other_images_are_refused(host):
    host.labels(["product"], lambda n: [f"p{n % 4}"]).asks(["matches"], each=lambda n: [f"t{n}"])
    assert "finding similar images" in host.refused()


def test_a_training_table_in_long_form_is_refused_where_the_sample_asks_one_answer_an_image(host):
    rows = [(f"i{n // 3}_{'abc'[n % 3]}", n % 2) for n in range(24)]
    host.train = table(host.root / "train.csv", ["ID", "Label"], rows)
    assert "one number is asked for more than two classes" in host.asks(["Label"], 0.5).refused()


def test_one_answer_for_several_images_is_refused(host):
    host.labels(["cancer"], lambda n: [n % 2]).tests(["breast"], lambda n: [f"b{n // 2}"])
    host.sample = table(host.root / "sample.csv", ["breast", "cancer"], [(f"b{n}", 0.5) for n in range(3)])
    assert "one answer is asked for several images" in host.refused()


@pytest.mark.parametrize(
    "name", ["{word}.{n}.png", "black_{word}_{n}.png", "{n}-{word}.png", "{word}{n}.png"]
)
def test_labels_are_read_from_file_names(host, name):
    for n in range(12):
        picture(host.root / "named" / name.format(word=SHADES[n % 2], n=n), n)
    rows = [(f"t{n}", 0.5) for n in range(TESTS)]
    host.sample = table(host.root / "sample.csv", ["id", "is_dog"], rows)
    host.test = host.root / "test"
    host.new(images="named")
    assert "12 training images in 2 classes" in "\n".join(host.said.lines)
    assert host.config.submission.positive[0].endswith("dog") if "black" not in name else host.said.question


def test_a_name_without_a_label_is_a_fault(host):
    for n in range(12):
        picture(host.root / "named" / f"{SHADES[n % 2]}.{n}.png", n)
    host.new(images="named")
    picture(host.root / "named" / "what.png", 3)
    with pytest.raises(DataError, match=r"label_pattern matches nothing in 'what\.png'"):
        competition.load(host.config, competition_root(host.settings()))
    for word in ("competition.label_pattern=(a", "competition.label_pattern=a"):
        with pytest.raises(ConfigError, match=r"label_pattern (is not a regular expression|has 0 groups)"):
            host.settings(word)
    with pytest.raises(ConfigError, match="is used only with layout=folders"):
        host.settings("competition.layout=table")


def test_names_that_only_number_images_are_not_labels(host):
    for n in range(12):
        picture(host.root / "named" / f"IMG_{n:04d}.png", n)
    assert "no folder per class" in host.refused(images="named")


def test_folders_of_patients_are_not_classes(host):
    for n in range(24):
        picture(host.root / "scans" / f"p{n // 4}" / f"{n}.png", n)
    table(host.root / "info.csv", ["patient_id", "ill"], [(f"p{n // 4}", n % 2) for n in range(24)])
    assert "its folders are the values of `patient_id` in info.csv" in host.refused(images="scans")


# Which column is the label


@pytest.mark.parametrize("count", [30, 120])
def test_a_named_label_may_have_many_values(host, count):
    host.labels(["label", "sex"], lambda n: [n % count, "mf"[n % 2]], n=2 * count).asks(["label"], 0).new()
    assert len(host.config.attributes[0].values) == count


def test_hundreds_of_names_are_a_label(host):
    host.labels(["person"], lambda n: [f"name {n % 60}"], n=80).asks(["person"], "name 1").new()
    assert len(host.config.attributes[0].values) == 60


def test_columns_that_describe_an_image_are_not_part_of_the_class(host):
    header = ["lesion_id", "dx", "dx_type", "age", "sex", "localization"]
    host.labels(header, lambda n: [n // 2, SHADES[n % 3], "ab"[n % 2], 40 + n % 4, "mf"[n % 2], "xyz"[n % 3]])
    host.new()
    assert [a.column for a in host.config.attributes] == ["dx"]


def test_the_column_that_the_test_table_lacks_is_the_label(host):
    host.labels(["place", "beast", "frame"], lambda n: [n % 4, n % 3 * 5, n % 2])
    host.tests(["place", "frame"], lambda n: [n % 4, n % 2]).asks(["Predicted"], 0).new()
    assert [a.values for a in host.config.attributes] == [["0", "5", "10"]]
    assert host.config.submission.format == "class_name"


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        (["bedrooms", "bathrooms", "price"], lambda n: [n % 4, n % 3, 100_000 + 37 * n]),
        (["item", "weight"], lambda n: [SHADES[n % 3], n + 0.5]),
        (["drive", "angle"], lambda n: [f"d{n % 3}", n / 7]),
        (["a", "b"], lambda n: [n % 4, n % 3]),
    ],
)
def test_nothing_takes_the_place_of_a_label_that_nobody_names(host, header, cells):
    host.labels(header, cells)
    said = host.refused()
    assert "nothing says which column is the label" in said and "LABEL=" in said
    assert all(f"column '{c}'" in said for c in header)


def test_the_label_may_be_given(host):
    host.labels(["a", "b", "price"], lambda n: [n % 4, n % 3, 100_000 + 37 * n])
    assert [a.column for a in host.new(label="b").config.attributes] == ["b"]
    assert [a.column for a in host.new(label="a, b").config.attributes] == ["a", "b"]
    assert host.new(label="price").config.target == "values"
    assert "no column `pric`; did you mean price?" in host.refused(label="pric")


def test_how_combinations_are_numbered_is_asked(host):
    host.labels(["a", "b"], lambda n: [n % 4, n % 3]).asks(["code"], 0).new(label="a,b")
    assert "what does the host call the combinations of a, b?" in host.asked
    assert host.answer(0).submission.format == "class_index"
    found = host.settings("competition.submission.format=class_index").config.competition
    assert found.submission.label_column == "code"


@pytest.mark.parametrize(
    ("name", "values", "metric"),
    [("diagnosis", "01234", "qwk"), ("level", "1234", "qwk"), ("label", "01234", "accuracy")],
)
def test_ordered_grades_are_scored_by_kappa(host, name, values, metric):
    host.labels([name], lambda n: [values[n % len(values)]]).asks([name], values[0]).new()
    assert host.config.metric == metric and "a guess" in "\n".join(host.said.lines)


# Ids and other columns of the sample


def test_ids_are_found_by_their_values_wherever_they_are(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]])
    rows = [(n, f"t{n}.png") for n in range(TESTS)]
    host.test = table(host.root / "test.csv", ["id", "path"], rows)
    host.sample = table(
        host.root / "sample.csv", ["kind", "id"], [("cat", f"t{n}.png") for n in range(TESTS)]
    )
    host.new()
    assert (host.config.test_id_column, host.config.submission.id_column) == ("path", "id")
    rows = [(f"t{n}.png", "cat") for n in range(1, TESTS)]
    host.sample = table(host.root / "sample.csv", ["path", "kind"], rows)
    assert "1 id of test.csv, but not in the sample: 't0.png'" in host.refused()


def test_ids_may_be_names_of_images_that_the_test_table_writes_differently(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]]).tests(["width"], lambda n: [n % 3])
    rows = [(f"t{n}.png", "cat") for n in range(TESTS)]
    host.sample = table(host.root / "sample.csv", ["image", "kind"], rows)
    host.new()
    assert host.config.test_table == "sample.csv" and f"{TESTS} test images" in "\n".join(host.said.lines)
    host.sample = table(
        host.root / "sample.csv", ["image", "kind"], [(f"{n}.0", "cat") for n in range(TESTS)]
    )
    assert "no column holds its ids, e.g. '0.0'" in host.refused()


def test_a_column_of_row_numbers_is_neither_id_nor_answer(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]])
    rows = [(n, f"t{n}", "cat") for n in range(TESTS)]
    host.sample = table(host.root / "sample.csv", ["", "image", "kind"], rows)
    host.new()
    assert (host.config.submission.id_column, host.config.submission.copied) == ("image", [""])
    host.sample = table(
        host.root / "sample.csv", ["image", "kind"], [(f"t{n // 2}", "cat") for n in range(4)]
    )
    assert "4 rows, and only 2 values of `image`" in host.refused()


def test_columns_of_the_sample_that_repeat_the_test_table_are_copied(host):
    host.labels(["kind"], lambda n: [SHADES[n % 3]]).tests(["width"], lambda n: [n % 3])
    host.asks(["width", "kind"], each=lambda n: [n % 3, "cat"]).new()
    assert host.config.submission.copied == ["width"] and host.last.endswith("copied from the sample: width")
    host.asks(["width", "kind"], each=lambda n: [9, "cat"])
    assert "nothing in train.csv fills width" in host.refused()


def test_the_patients_of_a_sample_are_copied_and_no_answers(host):
    host.labels(["patient_id", "grade"], lambda n: [f"p{n // 2}", n % 3])
    host.asks(["patient_id", "grade"], each=lambda n: [f"q{n // 2}", 0]).new()
    found = host.config
    assert found.submission.copied == ["patient_id"] and found.group_column == "patient_id"
    assert [a.column for a in found.attributes] == ["grade"]
