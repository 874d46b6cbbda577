import pytest

from pipeline.train.studies import ablation
from pipeline.train.studies.ablation import Standing


@pytest.mark.parametrize(
    ("per_class", "frozen", "word"),
    [
        (50, 0.8, "linear_probe"),
        (50, 0.5, "freeze the early stages"),
        (5000, 0.8, "layer_decay"),
        (5000, 0.5, "scratch"),
    ],
)
def test_each_field_has_its_advice_and_one_is_marked(per_class, frozen, word):
    standing = Standing(per_class, "macro_f1", frozen, 0.8)
    (marked,) = [line for line in ablation.transfer_lines(standing) if line.startswith("←")]
    assert word in marked
    assert (ablation.transfer_table(standing)["here"] == "←").sum() == 1 and len(
        ablation.transfer_table(standing)
    ) == 4
    assert f"{frozen / 0.8:.0%}" in ablation.why(standing)


@pytest.mark.parametrize(
    "standing",
    [
        Standing(50, "macro_f1", None, 0.8),
        Standing(50, "macro_f1", 0.8, None),
        Standing(50, "log_loss", 0.8, 0.9, higher_is_better=False),
    ],
)
def test_where_nothing_tells_how_similar_both_fields_are_marked_and_it_says_so(standing):
    marked = [line for line in ablation.transfer_lines(standing) if line.startswith("←")]
    assert len(marked) == 2 and all("small data" in line for line in marked)
    assert "similarity is unknown" in ablation.why(standing)
