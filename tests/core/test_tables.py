"""The one reader of tables: any encoding, any delimiter, text stays text, malformed lines are told."""

import pytest

from pipeline.core import tables
from pipeline.core.errors import DataError

ROWS = "id,이름\n007, 철수 \n1e5,NA\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_and_delimiter_gives_the_same_text(tmp_path, delimiter, encoding, end):
    path = tmp_path / "t.csv"
    path.write_bytes(ROWS.replace(",", delimiter).replace("\n", end).encode(encoding))
    table = tables.read_table(path, "train/t.csv")
    assert table.columns == ("id", "이름") and len(table) == 2
    assert table.column("id") == ("007", "1e5"), "leading zeros and exponents stay"
    assert table.column("이름") == ("철수", "NA")
    assert (table.delimiter, table.name, table.lines) == (delimiter, "train/t.csv", (2, 3))
    assert table.encoding == ("utf-8-sig" if encoding.startswith("utf-8") else encoding)


def test_a_quote_that_never_closes_swallows_nothing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('id,x\n"a,1\nb,2\n', encoding="utf-8")
    with pytest.raises(DataError, match="not a valid CSV"):
        tables.read_table(path)


def test_what_is_written_reads_back(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(tables.format_table(("a", "b"), [("x,y", 'q"'), ("", "가")], ";"))
    table = tables.read_table(path)
    assert table.rows == (("x,y", 'q"'), ("", "가")) and table.delimiter == ";"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"a,b\n1,2,3\n4,5\n6\n", "line 2: it has 3 cells, but the header has 2\n  - line 4: it has 1 cells"),
        (b"a,b,a\n1,2,3\n", "column 'a' occurs twice"),
        (b"a,b\n\xff\xff\xff\n", "not text"),
        (b'a,b\n"' + b"x" * 140_000 + b'",1\n', "line 2: not a valid CSV"),
    ],
)
def test_malformed_tables_are_told(tmp_path, data, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        tables.read_table(path)
    assert "bad.csv" in str(error.value) and message in str(error.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        tables.read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="a folder"):
        tables.read_table(tmp_path)


def test_lines_are_told_as_an_editor_counts_them(tmp_path):
    path = tmp_path / "o.csv"
    path.write_text('a,b\n\n"1\n2",3\n4,5,6\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 5: it has 3 cells"):
        tables.read_table(path)
