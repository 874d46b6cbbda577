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
        (b"a,b\n1,2,3\n4,5\n6\n", "line 2: it has 3 cells, but the header has 2\n  - line 4: it has 1 cell"),
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


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        ("sep=;\nid;l\n1;2\n", ("id", "l"), (("1", "2"),)),
        ("id|l\n1|2\n", ("id", "l"), (("1", "2"),)),
        ("# made by a, b, c\n# 2026\nid,l\n1,2\n", ("id", "l"), (("1", "2"),)),
        ("#id,l\n1,2\n", ("#id", "l"), (("1", "2"),)),
        ("id,l\n1,2\n\n  \n,\n \t \n", ("id", "l"), (("1", "2"),)),
        (
            "n  file\n1  001.Black/x.jpg\n2  b.jpg\n",
            ("n", "file"),
            (("1", "001.Black/x.jpg"), ("2", "b.jpg")),
        ),
        ("a name\nx y\nz w\n", ("a name",), (("x y",), ("z w",))),
    ],
)
def test_comments_separators_and_blank_ends_are_no_rows(tmp_path, text, columns, rows):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    table = tables.read_table(path)
    assert (table.columns, table.rows) == (columns, rows)
    assert table.lines[0] == text[: text.index(rows[0][0])].count("\n") + 1, "as an editor counts them"


def test_a_table_without_a_header(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a.png,1\nb.png,1\n", encoding="utf-8")
    table = tables.read_table(path, header=False)
    assert table.columns == ("column1", "column2") and table.column("column1") == ("a.png", "b.png")
    assert table.lines == (1, 2)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(ROWS.encode(encoding))
    assert tables.read_table(path).column("이름") == ("철수", "NA")


@pytest.mark.parametrize(
    ("encoding", "label"),
    [
        *(
            ("cp949", "가구수정"),
            ("cp949", "남"),
            ("cp949", "A형"),
            ("cp949", "창틀,문틀수정"),
            ("cp949", "뷁 강아지"),
        ),
        *(
            ("cp1252", "Äpfel"),
            ("cp1252", "café"),
            ("cp1252", "créée"),
            ("cp1252", "Don’t"),
            ("cp1252", "20 °C"),
        ),
        *(("cp1252", "Große Straße"), ("cp1252", "Ångström"), ("cp1252", "São Paulo – “x”")),
    ],
)
def test_an_older_encoding_is_the_one_in_which_there_are_words(tmp_path, encoding, label):
    path = tmp_path / "t.csv"
    path.write_bytes(f'id,l\n1,"{label}"\n2,b\n'.encode(encoding))
    table = tables.read_table(path)
    assert (table.column("l"), table.encoding) == ((label, "b"), encoding)


@pytest.mark.parametrize(
    ("encoding", "label", "said"),
    [
        ("cp1252", "AÇÃO", "both cp949 and cp1252 give words\n  - in cp949 its first such line is '1,A플O'"),
        ("gb18030", "香蕉", "neither cp949 nor cp1252 gives words"),
        ("shift_jis", "りんご", "neither cp949 nor cp1252 gives words"),
        ("cp1251", "яблоко", "neither cp949 nor cp1252 gives words"),
    ],
)
def test_an_unclear_encoding_is_asked_for_and_then_used(tmp_path, encoding, label, said):
    path = tmp_path / "t.csv"
    path.write_bytes(f"id,l\n1,{label}\n".encode(encoding))
    with pytest.raises(DataError) as error:
        tables.read_table(path)
    assert said in str(error.value) and "competition.encoding" in error.value.remedy
    assert tables.read_table(path, encoding=encoding).column("l") == (label,)
    path.write_text(f"id,l\n1,{label}\n", encoding="utf-8")
    assert tables.read_table(path, encoding=encoding).column("l") == (label,), "UTF-8 is always seen"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"PK\x03\x04" + bytes(26) + b"train.csv", "an archive (zip)"),
        (b"PK\x03\x04" + bytes(26) + b"xl/sheet.xml", "an Excel workbook"),
        (b"\x93NUMPY\x01", "a NumPy array"),
        (b"PAR1", "a Parquet file"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"\0\0\x08\x03\0\0", "an IDX file (MNIST)"),
        (b"\x80\x04\x95", "a Python pickle"),
        (b'[{"id": "a", "band_1": [1.0]}]', "JSON"),
        (b'{"images": [], "annotations": []}', "JSON in COCO's form"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"<annotation><folder>", "XML"),
        (b"\x1f\x8b\x08damaged", "the gzip file is damaged"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_reads_it(tmp_path, data, said):
    path = tmp_path / "t.csv"
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        tables.read_table(path)
    assert f"t.csv: this is {said}" in str(error.value) or f"t.csv: {said}" in str(error.value)
    assert error.value.remedy
