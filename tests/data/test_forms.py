"""Host formats of labels, values, shares and ranked answers: written as the sample asks, and read back."""

import numpy as np
import pytest

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.samples import Attribute, LabelSpace
from pipeline.core.tables import read_table
from pipeline.core.targets import Target
from pipeline.data import host_format
from pipeline.settings.submission import SubmissionSettings

PLAIN = LabelSpace.independent([Attribute(n, ("no", "yes")) for n in ("scab", "rust")])
LEVELS = LabelSpace.independent(
    [Attribute(n, ("Normal", "Moderate", "Severe")) for n in ("left", "right")]
    + [Attribute("broken", ("0", "1"))]
)
AGE = LabelSpace.numbers(["age"])
BOTH = LabelSpace.numbers(["age", "weight"])
ROOTS = LabelSpace.product([Attribute("root", ("a", "b")), Attribute("vowel_sign", ("x", "y", "z"))])
WHALES = LabelSpace.product([Attribute("whale", ("w1", "w2", "w3", "new"))])
IDS = ("7", "a_b", "c")
P_PLAIN = [[0.9, 0.6], [0.2, 0.4], [0.1, 0.75]]
P_LEVELS = [[0.25, 0.5, 0.25, 1, 0, 0, 0.75], [0, 0, 1, 0, 1, 0, 0], [1, 0, 0, 0, 0, 1, 0.5]]


class Host:
    """A sample and a space: what a submission of some predictions looks like, and what is read of it."""

    def __init__(self, folder, space, sample, **settings):
        self.space, self.settings = space, SubmissionSettings(**settings)
        self.sample, self.path = folder / "sample.csv", folder / "mine.csv"
        self.sample.write_text(sample, encoding="utf-8")

    def written(self, p_NK, ids=IDS):
        order = np.arange(len(ids))[::-1]
        p = Probabilities.of(
            Target.of(self.space), np.array(ids)[order], np.array(p_NK, np.float32)[order], "p"
        )
        host_format.write(self.path, p, self.space, self.settings, self.sample)
        host_format.check(self.path, self.sample, self.space, self.settings)
        host_format.fits(self.sample, np.array(ids), self.space, self.settings)
        return self.path.read_text(encoding="utf-8").splitlines()

    def read(self, text=None):
        if text is not None:
            self.path.write_text(text, encoding="utf-8")
        return host_format.read(self.path, self.space, self.settings, self.sample)

    def faults(self, text):
        with pytest.raises(DataError) as caught:
            self.read(text)
        return "\n".join(caught.value.faults)

    @property
    def said(self):
        return host_format.described(read_table(self.sample), self.space, self.settings)


def test_labels_have_a_probability_a_column_and_need_not_sum_to_one(tmp_path):
    host = Host(tmp_path, PLAIN, "id,rust,scab\n7,0,0\na_b,0,0\nc,0,0\n", format="probabilities")
    assert host.written(P_PLAIN)[:2] == ["id,rust,scab", "7,0.6,0.9"]
    back = host.read()
    np.testing.assert_allclose(back.probabilities.p_NC, P_PLAIN, atol=1e-6)
    assert back.answers.tolist() == [[1, 1], [0, 0], [0, 1]] and back.probabilities.kind == "labels"
    said = host.faults("id,rust,scab\n7,1.5,0\na_b,-1,0\nc,x,0\n")
    assert "'rust' is above 1" in said and "'rust' is negative" in said and "'rust' is not a number" in said
    assert "1 row per `id`" in host.said and "each by itself" in host.said


def test_labels_are_hard_columns_in_the_hosts_words(tmp_path):
    host = Host(
        tmp_path,
        PLAIN,
        "id,scab,rust\n7,0,0\na_b,0,0\nc,0,0\n",
        format="attributes",
        words={"scab": ["0", "1"], "rust": ["0", "1"]},
    )
    assert host.written(P_PLAIN) == ["id,scab,rust", "7,1,1", "a_b,0,0", "c,0,1"]
    back = host.read()
    assert back.probabilities is None and back.answers.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert "'2' is not one of its values" in host.faults("id,scab,rust\n7,2,1\na_b,0,0\nc,0,1\n")


def test_labels_of_levels_have_a_column_for_each_level_or_one_with_its_word(tmp_path):
    names = [f"{side} · {level}" for side in ("left", "right") for level in ("Normal", "Moderate", "Severe")]
    columns = {name: name.replace(" · ", "_").lower() for name in names}
    header = ",".join([*columns.values(), "broken"])
    rows = "".join(f"{i},{','.join(['0'] * 7)}\n" for i in IDS)
    wide = Host(tmp_path, LEVELS, f"id,{header}\n{rows}", format="probabilities", columns=columns)
    assert wide.written(P_LEVELS)[1] == "7,0.25,0.5,0.25,1.0,0.0,0.0,0.75"
    back = wide.read()
    np.testing.assert_allclose(back.probabilities.p_NC, P_LEVELS)
    assert back.answers[0].tolist() == [0, 1, 0, 1, 0, 0, 1]
    odd = f"id,{header}\n7,1,1,0,1,0,0,0\n" + rows.partition("\n")[2]
    assert "left_normal, left_moderate, left_severe sum to 2, not 1" in wide.faults(odd)
    hard = Host(tmp_path, LEVELS, "id,left,right,broken\n7,,,\na_b,,,\nc,,,\n", format="attributes")
    assert hard.written(P_LEVELS)[1:] == ["7,Moderate,Normal,1", "a_b,Severe,Moderate,0", "c,Normal,Severe,0"]
    assert hard.read().answers.tolist() == back.answers.tolist()


def test_labels_are_words_of_one_cell(tmp_path):
    sample = "id,labels\n7,scab\na_b,scab\nc,scab\n"
    host = Host(tmp_path, PLAIN, sample, format="words", label_column="labels")
    # Where none is above one half, the most probable label is written: no host takes an empty answer unasked.
    assert host.written(P_PLAIN) == ["id,labels", "7,scab rust", "a_b,rust", "c,rust"]
    assert host.read().answers.tolist() == [[1, 1], [0, 1], [0, 1]]
    none = Host(
        tmp_path,
        PLAIN,
        sample,
        format="words",
        label_column="labels",
        separator="|",
        no_label="healthy",
        words={"scab": ["apple scab"]},
    )
    assert none.written(P_PLAIN)[1:] == ["7,apple scab|rust", "a_b,healthy", "c,rust"]
    assert none.read().answers.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert "'rst' is not a label; did you mean rust" in none.faults(
        "id,labels\n7,rst\na_b,healthy\nc,apple scab\n"
    )
    assert "`labels` = the words of the labels that hold (apple scab, rust)" in none.said


def test_values_are_numbers_a_column(tmp_path):
    one = Host(
        tmp_path, AGE, "id,Pawpularity\n7,1\na_b,1\nc,1\n", format="values", label_column="Pawpularity"
    )
    assert one.written([[1.5], [-2], [100]]) == ["id,Pawpularity", "7,1.5", "a_b,-2.0", "c,100.0"]
    back = one.read()
    assert back.answers.tolist() == [[1.5], [-2], [100]] and back.probabilities.kind == "values"
    assert "'Pawpularity' is not a number" in one.faults("id,Pawpularity\n7,\na_b,2\nc,3\n")
    several = Host(
        tmp_path, BOTH, "id,w,age\n7,0,0\na_b,0,0\nc,0,0\n", format="values", columns={"weight": "w"}
    )
    assert several.written([[1, 2], [3, 4], [5, 6]])[1] == "7,2.0,1.0"
    assert several.read().answers.tolist() == [[1, 2], [3, 4], [5, 6]]


def test_top_k_names_classes_from_the_most_probable_one(tmp_path):
    p = [[0.1, 0.2, 0.3, 0.4], [0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]]
    sample = "Image,Id\n7,new w1 w2\na_b,new w1 w2\nc,new w1 w2\n"
    host = Host(tmp_path, WHALES, sample, format="top_k", k=3, id_column="Image", label_column="Id")
    assert host.written(p)[1:] == ["7,new w3 w2", "a_b,w1 w2 w3", "c,w1 w2 w3"]
    back = host.read()
    assert back.labels_N.tolist() == [3, 0, 0]
    order = np.argsort(-back.probabilities.p_NC, axis=1, kind="stable")
    assert order[:, :3].tolist() == [[3, 2, 1], [0, 1, 2], [0, 1, 2]]
    said = host.faults("Image,Id\n7,w1 w1\na_b,w9\nc,w1 w2 w3 new\n")
    assert (
        "a class is named twice" in said
        and "'w9' is not a class" in said
        and "4 classes, and at most 3" in said
    )
    assert "the 3 most probable classes" in host.said
    sure = Host(
        tmp_path,
        WHALES,
        "id,lm\n7,new 0.1\na_b,\nc,\n",
        format="top_k",
        k=1,
        confidence=True,
        label_column="lm",
    )
    assert sure.written(p)[1:] == ["7,new 0.4", "a_b,w1 0.5", "c,w1 0.25"]
    np.testing.assert_allclose(sure.read().probabilities.p_NC.max(axis=1)[:2], [0.4, 0.5], atol=0.01)


def test_long_form_has_a_row_for_each_image_and_label(tmp_path):
    rows = [f"{i}_{label},0.5" for i in IDS for label in ("rust", "scab")]
    sample = "\n".join(["ID,Label", *rows]) + "\n"
    how = {"format": "probabilities", "id_column": "ID", "label_column": "Label", "long_id": "{id}_{answer}"}
    host = Host(tmp_path, PLAIN, sample, **how)
    written = host.written(P_PLAIN)
    assert written[:4] == ["ID,Label", "7_rust,0.6", "7_scab,0.9", "a_b_rust,0.4"]
    np.testing.assert_allclose(host.read().probabilities.p_NC, P_PLAIN, atol=1e-6)
    # Rows in another order are the same answers, as everything is joined by id.
    back = host.read("\n".join([written[0], *written[:0:-1]]) + "\n")
    np.testing.assert_allclose(back.probabilities.p_NC, P_PLAIN, atol=1e-6)
    said = host.faults("\n".join([*written[:-1], "c_scrab,0.1"]) + "\n")
    assert "1 id missing: 'c_scab'" in said and "1 id extra, not in the sample: 'c_scrab'" in said
    assert "1 row per `ID` and answer of the sample, {id}_{answer}" in host.said
    with pytest.raises(DataError, match="not one for each image and answer"):
        Host(tmp_path, PLAIN, sample.replace("_rust", "_dust"), **how).written(P_PLAIN)


def test_long_form_may_have_two_columns_of_ids(tmp_path):
    rows = [f"{i},{name},0" for name in ("broken", "leg left", "leg right") for i in IDS]
    how = {
        "format": "attributes",
        "id_column": "study",
        "label_column": "grade",
        "long_column": "finding",
        "columns": {"left": "leg left", "right": "leg right"},
    }
    host = Host(tmp_path, LEVELS, "\n".join(["study,finding,grade", *rows]) + "\n", **how)
    written = host.written(P_LEVELS)
    assert written[1] == "7,broken,1" and written[4:7] == [
        "7,leg left,Moderate",
        "a_b,leg left,Severe",
        "c,leg left,Normal",
    ]
    assert host.read().answers[0].tolist() == [0, 1, 0, 1, 0, 0, 1]


def test_long_form_may_have_a_column_for_each_level(tmp_path):
    space = LabelSpace.independent(
        [Attribute(n, ("Normal", "Moderate", "Severe")) for n in ("left", "right")]
    )
    names = {
        f"{n} · {v}": f"{n}_l1 · {v.lower()}"
        for n in ("left", "right")
        for v in ("Normal", "Moderate", "Severe")
    }
    rows = [f"{i}_{n}_l1,0.33,0.33,0.33" for i in IDS for n in ("left", "right")]
    sample = "\n".join(["row_id,normal,moderate,severe", *rows]) + "\n"
    host = Host(
        tmp_path,
        space,
        sample,
        format="probabilities",
        id_column="row_id",
        long_id="{id}_{answer}",
        columns=names,
    )
    p = np.array(P_LEVELS)[:, :6]
    assert host.written(p)[1:3] == ["7_left_l1,0.25,0.5,0.25", "7_right_l1,1.0,0.0,0.0"]
    np.testing.assert_allclose(host.read().probabilities.p_NC, p)


def test_a_multi_attribute_answer_in_long_form_is_of_the_most_probable_class(tmp_path):
    rows = [f"Test_{n}_{part},0" for n in range(3) for part in ("vowel_sign", "root")]
    host = Host(
        tmp_path,
        ROOTS,
        "\n".join(["row_id,target", *rows]) + "\n",
        format="attributes",
        id_column="row_id",
        label_column="target",
        long_id="{id}_{answer}",
    )
    p = np.full((3, 6), 0.1)
    p[0, 5] = p[1, 0] = p[2, 3] = 0.5
    written = host.written(p, ids=("Test_0", "Test_1", "Test_2"))
    assert written[1:] == [
        "Test_0_vowel_sign,z",
        "Test_0_root,b",
        "Test_1_vowel_sign,x",
        "Test_1_root,a",
        "Test_2_vowel_sign,x",
        "Test_2_root,b",
    ]
    assert host.read().labels_N.tolist() == [5, 0, 3]


@pytest.mark.parametrize(
    ("space", "form"),
    [
        (PLAIN, "probabilities"),
        (LEVELS, "probabilities"),
        (AGE, "values"),
        (WHALES, "top_k"),
        (PLAIN, "words"),
    ],
)
def test_a_sample_that_is_made_here_can_be_read(tmp_path, space, form):
    settings = SubmissionSettings(format=form)
    made = tmp_path / "made.csv"
    for own in (settings, settings.model_copy(update={"long_id": "{id}:{answer}"})):
        if own.long and form in ("top_k", "words"):
            continue
        made.write_bytes(host_format.sample_of(IDS, space, own))
        assert host_format.read(made, space, own, made).ids_N.tolist() == list(IDS)
