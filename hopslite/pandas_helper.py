"""pandas' tables in the project's files: HopsML's `hops.pandas_helper`.

```python
from hopslite import pandas_helper

table = pandas_helper.read_csv("Resources/titanic.csv")
pandas_helper.write_parquet("Resources/titanic.parquet", table)
```

Paths are as in `hopslite.hdfs`. A file that is written appears when it is complete, and replaces the one that is
there. One that is read comes from this machine's cache, to which it is copied once; the keyword arguments are those of
pandas' function. A name that ends with `.gz`, `.zip` and so on is compressed, as with pandas."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .core import extras
from .errors import InvalidArguments, MissingExtra
from .files.copy import file_to_read, write_whole

__all__ = [
    "read_csv",
    "read_excel",
    "read_json",
    "read_parquet",
    "write_csv",
    "write_json",
    "write_parquet",
]


def read_csv(hdfs_filename: str, **kwds: Any) -> Any:
    """Read a table of comma-separated values.

    >>> from hopslite import hdfs
    >>> hdfs.dump("a,b\\n1,2\\n", "Resources/t.csv")
    >>> read_csv("Resources/t.csv")
       a  b
    0  1  2
    """
    pandas = _pandas()
    return pandas.read_csv(file_to_read(hdfs_filename), **kwds)


def read_parquet(hdfs_filename: str, **kwds: Any) -> Any:
    """Read a table from a Parquet file, or from a directory of them, as Spark writes it.

    >>> import pandas
    >>> write_parquet("Resources/t.parquet", pandas.DataFrame({"a": [1, 2]}))
    >>> read_parquet("Resources/t.parquet")["a"].sum()
    np.int64(3)
    """
    pandas = _pandas()
    with _naming_what_is_missing("pyarrow"):
        return pandas.read_parquet(file_to_read(hdfs_filename), **kwds)


def read_json(hdfs_filename: str, **kwds: Any) -> Any:
    """Read a table from JSON.

    >>> from hopslite import hdfs
    >>> hdfs.dump('[{"a": 1}, {"a": 2}]', "Resources/t.json")
    >>> list(read_json("Resources/t.json")["a"])
    [1, 2]
    """
    pandas = _pandas()
    return pandas.read_json(file_to_read(hdfs_filename), **kwds)


def read_excel(hdfs_filename: str, **kwds: Any) -> Any:
    """Read a table from an Excel file; for `.xlsx` this needs the package openpyxl."""
    pandas = _pandas()
    with _naming_what_is_missing("openpyxl"):
        return pandas.read_excel(file_to_read(hdfs_filename), **kwds)


def write_csv(hdfs_filename: str, dataframe: Any, **kwds: Any) -> None:
    """Write a table as comma-separated values; without `index=False`, with its index as the first column.

    >>> import pandas
    >>> write_csv("Resources/t.csv", pandas.DataFrame({"a": [1, 2]}), index=False)
    >>> from hopslite import hdfs
    >>> hdfs.load("Resources/t.csv")
    b'a\\n1\\n2\\n'
    """
    _check(dataframe, kwds)
    with write_whole(hdfs_filename) as local:
        dataframe.to_csv(local, **kwds)


def write_parquet(hdfs_filename: str, dataframe: Any, **kwds: Any) -> None:
    """Write a table as a Parquet file; with `partition_cols=`, as a directory of them, which must not be there yet.

    >>> import pandas
    >>> write_parquet("Resources/t.parquet", pandas.DataFrame({"a": [1, 2]}))
    """
    _check(dataframe, kwds)
    with _naming_what_is_missing("pyarrow"), write_whole(hdfs_filename) as local:
        dataframe.to_parquet(local, **kwds)


def write_json(hdfs_filename: str, dataframe: Any, **kwds: Any) -> None:
    """Write a table as JSON.

    >>> import pandas
    >>> write_json("Resources/t.json", pandas.DataFrame({"a": [1]}), orient="records")
    >>> from hopslite import hdfs
    >>> hdfs.load("Resources/t.json")
    b'[{"a":1}]'
    """
    _check(dataframe, kwds)
    with write_whole(hdfs_filename) as local:
        dataframe.to_json(local, **kwds)


def _pandas() -> ModuleType:
    extras.require("pandas", "hopslite.pandas_helper")
    import pandas

    return pandas


def _check(dataframe: Any, kwds: dict[str, Any]) -> None:
    pandas = _pandas()
    if not isinstance(dataframe, (pandas.DataFrame, pandas.Series)):
        hint = "; toPandas() makes one of it" if hasattr(dataframe, "toPandas") else ""
        raise InvalidArguments("dataframe", [f"it is a {type(dataframe).__name__}; give a pandas DataFrame{hint}"])
    if kwds.get("mode", "w") not in ("w", "wb"):
        raise InvalidArguments("mode", [f"mode={kwds['mode']!r}; only whole files are written"])


@contextlib.contextmanager
def _naming_what_is_missing(package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"pandas needs a package for this: pip install {package} ({error})") from error
