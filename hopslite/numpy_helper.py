"""NumPy arrays in the project's files: HopsML's `hops.numpy_helper`.

```python
from hopslite import numpy_helper as numpy_on_hdfs

numpy_on_hdfs.save("Resources/weights.npy", weights)
weights = numpy_on_hdfs.load("Resources/weights.npy")
```

Paths are as in `hopslite.hdfs`. A file that is written appears when it is complete. One that is read comes from this
machine's cache, to which it is copied once; the keyword arguments are those of NumPy's function of the same name.
"""

from __future__ import annotations

from typing import Any

from .errors import InvalidArguments
from .files.copy import file_to_read, write_whole
from .files.paths import resolve

__all__ = [
    "fromfile",
    "fromregex",
    "genfromtxt",
    "load",
    "loadtxt",
    "memmap",
    "save",
    "savez",
    "savez_compressed",
]


def load(hdfs_filename: str, **kwds: Any) -> Any:
    """Read an array from an `.npy` file, or the arrays of an `.npz` file.

    >>> _ = save("Resources/a", [1, 2])
    >>> load("Resources/a.npy")
    array([1, 2])
    """
    import numpy

    return numpy.load(file_to_read(hdfs_filename), **kwds)


def loadtxt(hdfs_filename: str, **kwds: Any) -> Any:
    """Read an array from a text file, each row of which has the same number of values.

    >>> from hopslite import hdfs
    >>> hdfs.dump("1 2\\n3 4", "Resources/a.txt")
    >>> loadtxt("Resources/a.txt", dtype=int)
    array([[1, 2],
           [3, 4]])
    """
    import numpy

    return numpy.loadtxt(file_to_read(hdfs_filename), **kwds)


def genfromtxt(hdfs_filename: str, **kwds: Any) -> Any:
    """Read an array from a text file in which values may be missing.

    >>> from hopslite import hdfs
    >>> hdfs.dump("1,\\n3,4", "Resources/a.csv")
    >>> genfromtxt("Resources/a.csv", delimiter=",", filling_values=0)
    array([[1., 0.],
           [3., 4.]])
    """
    import numpy

    return numpy.genfromtxt(file_to_read(hdfs_filename), **kwds)


def fromregex(hdfs_filename: str, **kwds: Any) -> Any:
    """Read an array from a text file by a regular expression: `regexp` and `dtype`.

    >>> from hopslite import hdfs
    >>> hdfs.dump("x=1 x=2", "Resources/a.txt")
    >>> fromregex("Resources/a.txt", regexp="x=([0-9]+)", dtype=[("x", int)])["x"]
    array([1, 2])
    """
    import numpy

    return numpy.fromregex(file_to_read(hdfs_filename), **kwds)


def fromfile(hdfs_filename: str, **kwds: Any) -> Any:
    """Read an array from a file of bare numbers.

    >>> from hopslite import hdfs
    >>> hdfs.dump(b"\\x01\\x02", "Resources/a.bin")
    >>> fromfile("Resources/a.bin", dtype="uint8")
    array([1, 2], dtype=uint8)
    """
    import numpy

    return numpy.fromfile(file_to_read(hdfs_filename), **kwds)


def memmap(hdfs_filename: str, **kwds: Any) -> Any:
    """An array over a file of bare numbers, of which what is used is read from this machine's disk.

    Args:
        hdfs_filename: the file.
        kwds: those of `numpy.memmap`. `mode` is "r", or "c" for changes that stay in memory; the default is "r".

    >>> from hopslite import hdfs
    >>> hdfs.dump(b"\\x01\\x02", "Resources/a.bin")
    >>> int(memmap("Resources/a.bin", dtype="uint8").sum())
    3
    """
    import numpy

    mode = kwds.pop("mode", "r")
    if mode not in ("r", "c", "readonly", "copyonwrite"):
        raise InvalidArguments("memmap", [f"mode={mode!r}; give 'r' or 'c': the file in the project is not changed"])
    return numpy.memmap(file_to_read(hdfs_filename), mode=mode, **kwds)


def save(hdfs_filename: str, data: Any) -> str:
    """Write an array to an `.npy` file, which replaces the one that is there; returns its URL.

    As with NumPy, `.npy` is appended to a name that does not end so.

    >>> save("Resources/weights", [1.5, 2.5]).endswith("Resources/weights.npy")
    True
    """
    import numpy

    return _write(hdfs_filename, ".npy", lambda file: numpy.save(file, data))


def savez(hdfs_filename: str, *args: Any, **kwds: Any) -> str:
    """Write several arrays to an `.npz` file, under the names of the arguments, or `arr_0`, `arr_1`, …; returns its
    URL.

    As with NumPy, `.npz` is appended to a name that does not end so.

    >>> _ = savez("Resources/both", x=[1], y=[2, 3])
    >>> load("Resources/both.npz")["y"]
    array([2, 3])
    """
    import numpy

    return _write(hdfs_filename, ".npz", lambda file: numpy.savez(file, *args, **kwds))


def savez_compressed(hdfs_filename: str, *args: Any, **kwds: Any) -> str:
    """The same as `savez`, compressed.

    >>> _ = savez_compressed("Resources/both", x=[1], y=[2, 3])
    >>> load("Resources/both.npz")["x"]
    array([1])
    """
    import numpy

    return _write(hdfs_filename, ".npz", lambda file: numpy.savez_compressed(file, *args, **kwds))


def _write(path: str, ending: str, fill: Any) -> str:
    name = path if path.endswith(ending) else f"{path}{ending}"
    with write_whole(name) as local, open(local, "wb") as file:
        fill(file)
    return resolve(name).url
