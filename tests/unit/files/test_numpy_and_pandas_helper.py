"""Arrays and tables in the project's files, on each kind of store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from hopslite import hdfs, numpy_helper, pandas_helper
from hopslite.errors import InvalidArguments, MissingExtra


@pytest.fixture(autouse=True)
def store(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The project; the working directory and the cache are the test's own."""
    monkeypatch.setenv("HOPSLITE_PROJECT", f"{store_url}/project")
    for name in ("here", "spark"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path / "spark"))
    return f"{store_url}/project"


ARRAY = numpy.arange(12.0).reshape(3, 4)
TABLE = pandas.DataFrame({"a": [1, 2], "b": ["x", "é"]})


class TestNumpy:
    @pytest.mark.parametrize("name", ["a", "a.npy", "a b.npz"])
    def test_save_and_load(self, store: str, name: str) -> None:
        saved = name if name.endswith(".npy") else f"{name}.npy"
        assert numpy_helper.save(f"Resources/{name}", ARRAY) == f"{store}/Resources/{saved}"
        assert hdfs.ls("Resources") == [f"{store}/Resources/{saved}"]
        assert (numpy_helper.load(f"Resources/{saved}") == ARRAY).all()
        numpy_helper.save(f"Resources/{name}", ARRAY + 1)
        assert (numpy_helper.load(f"Resources/{saved}") == ARRAY + 1).all()
        assert (numpy_helper.load(f"Resources/{saved}", mmap_mode="r") == ARRAY + 1).all()
        assert os.listdir() == []

    @pytest.mark.parametrize("save", [numpy_helper.savez, numpy_helper.savez_compressed])
    def test_several_arrays(self, store: str, save: Any) -> None:
        assert save("Resources/a", ARRAY, x=ARRAY + 1) == f"{store}/Resources/a.npz"
        save("Resources/b.npz", ARRAY)
        with numpy_helper.load("Resources/a.npz") as found:
            assert sorted(found) == ["arr_0", "x"]
            assert (found["x"] == ARRAY + 1).all()
        with numpy_helper.load("Resources/b.npz") as found:
            assert (found["arr_0"] == ARRAY).all()

    def test_compressed_is_smaller(self) -> None:
        for name in ("savez", "savez_compressed"):
            getattr(numpy_helper, name)(f"Resources/{name}", numpy.zeros(10_000))
        sizes = [hdfs.stat(f"Resources/{name}.npz").st_size for name in ("savez", "savez_compressed")]
        assert sizes[0] > 10 * sizes[1]

    def test_text(self) -> None:
        hdfs.dump("1,2\n3,4\n", "Resources/a.csv")
        assert numpy_helper.loadtxt("Resources/a.csv", delimiter=",").tolist() == [[1, 2], [3, 4]]
        hdfs.dump("1,\n3,4\n", "Resources/b.csv")
        found = numpy_helper.genfromtxt("Resources/b.csv", delimiter=",", filling_values=-1)
        assert found.tolist() == [[1, -1], [3, 4]]
        hdfs.dump("x=1;x=22;", "Resources/c.txt")
        found = numpy_helper.fromregex("Resources/c.txt", regexp="x=([0-9]+)", dtype=[("x", int)])
        assert found["x"].tolist() == [1, 22]

    def test_bare_numbers(self) -> None:
        hdfs.dump(ARRAY.tobytes(), "Resources/a.bin")
        assert numpy_helper.fromfile("Resources/a.bin").tolist() == ARRAY.ravel().tolist()
        assert (numpy_helper.memmap("Resources/a.bin", dtype=float, shape=(3, 4)) == ARRAY).all()
        copy = numpy_helper.memmap("Resources/a.bin", dtype=float, mode="c")
        copy[0] = 99
        assert numpy_helper.fromfile("Resources/a.bin")[0] == 0
        with pytest.raises(ValueError, match="read-only"):
            numpy_helper.memmap("Resources/a.bin", dtype=float)[0] = 1
        for mode in ("r+", "w+"):
            with pytest.raises(InvalidArguments, match="the file in the project is not changed"):
                numpy_helper.memmap("Resources/a.bin", dtype=float, mode=mode)

    def test_a_missing_file_is_told(self) -> None:
        for name in ("load", "loadtxt", "genfromtxt", "fromregex", "fromfile", "memmap"):
            with pytest.raises(FileNotFoundError, match="nothing does not exist"):
                getattr(numpy_helper, name)("Resources/nothing")

    def test_what_cannot_be_written_leaves_the_old_file(self) -> None:
        numpy_helper.save("Resources/a", ARRAY)

        class Broken:
            def __array__(self, *_: Any, **__: Any) -> Any:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            numpy_helper.save("Resources/a", Broken())
        assert (numpy_helper.load("Resources/a.npy") == ARRAY).all()
        hdfs.mkdir("Resources/d.npy")
        hdfs.dump("", "Resources/d.npy/x")
        with pytest.raises(FileExistsError, match=r"d\.npy is a directory"):
            numpy_helper.save("Resources/d", ARRAY)


class TestPandas:
    @pytest.mark.parametrize("name", ["t.csv", "a b=%é.csv.gz"])
    def test_csv(self, name: str) -> None:
        pandas_helper.write_csv(f"Resources/{name}", TABLE, index=False)
        assert pandas_helper.read_csv(f"Resources/{name}").equals(TABLE)
        assert hdfs.load(f"Resources/{name}").startswith(b"\x1f\x8b") == name.endswith(".gz")
        pandas_helper.write_csv(f"Resources/{name}", TABLE * 2, index=False)
        assert pandas_helper.read_csv(f"Resources/{name}", usecols=["a"])["a"].tolist() == [2, 4]
        assert os.listdir() == []

    def test_json(self) -> None:
        pandas_helper.write_json("Resources/t.json", TABLE, orient="records", lines=True)
        assert pandas_helper.read_json("Resources/t.json", lines=True).equals(TABLE)

    def test_parquet(self, tmp_path: Path) -> None:
        pandas_helper.write_parquet("Resources/t.parquet", TABLE)
        assert pandas_helper.read_parquet("Resources/t.parquet").equals(TABLE)
        for number in (1, 2):
            pandas_helper.write_parquet(f"Resources/many/part-{number}.parquet", TABLE)
        hdfs.dump("", "Resources/many/_SUCCESS")
        assert pandas_helper.read_parquet("Resources/many")["a"].tolist() == [1, 2, 1, 2]

    def test_a_parquet_directory(self, store: str) -> None:
        table = pandas.DataFrame({"a": [1, 2, 3], "day": ["mon", "tue", "tue"]})
        pandas_helper.write_parquet("Resources/days", table, partition_cols=["day"])
        assert hdfs.ls("Resources/days") == [f"{store}/Resources/days/day=mon", f"{store}/Resources/days/day=tue"]
        assert pandas_helper.read_parquet("Resources/days")["a"].tolist() == [1, 2, 3]
        assert pandas_helper.read_parquet("Resources/days/day=tue")["a"].tolist() == [2, 3]
        hdfs.dump("mine", "Resources/notes/x")
        for name in ("days", "notes"):
            with pytest.raises(FileExistsError, match=f"{name} is a directory; delete it first"):
                pandas_helper.write_parquet(f"Resources/{name}", table, partition_cols=["day"])
        assert hdfs.load("Resources/notes/x") == b"mine"
        pandas_helper.write_parquet("Resources/t", TABLE)
        pandas_helper.write_parquet("Resources/t", table, partition_cols=["day"])
        assert pandas_helper.read_parquet("Resources/t")["a"].tolist() == [1, 2, 3]

    def test_excel_names_what_is_missing(self) -> None:
        hdfs.dump("", "Resources/t.xlsx")
        try:
            import openpyxl  # noqa: F401
        except ImportError:
            with pytest.raises(MissingExtra, match="pip install openpyxl"):
                pandas_helper.read_excel("Resources/t.xlsx", engine="openpyxl")
        else:
            TABLE.to_excel("t.xlsx", index=False)
            hdfs.copy_to_hdfs("t.xlsx", "Resources", overwrite=True)
            assert pandas_helper.read_excel("Resources/t.xlsx").equals(TABLE)

    def test_bad_input(self) -> None:
        class SparkTable:
            def toPandas(self) -> None: ...

        for name in ("csv", "json", "parquet"):
            write = getattr(pandas_helper, f"write_{name}")
            with pytest.raises(InvalidArguments, match="it is a SparkTable; give a pandas DataFrame; toPandas"):
                write("Resources/t", SparkTable())
            with pytest.raises(FileNotFoundError, match="nothing does not exist"):
                getattr(pandas_helper, f"read_{name}")("Resources/nothing")
        with pytest.raises(InvalidArguments, match="mode='a'; only whole files"):
            pandas_helper.write_csv("Resources/t", TABLE, mode="a")
        with pytest.raises(TypeError, match="unexpected"):
            pandas_helper.write_csv("Resources/t", TABLE, nosuch=1)
        assert not hdfs.exists("Resources/t")
