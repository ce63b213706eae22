"""The command `ship`: packs this Python's environment for executors, and says how Spark uses it."""

from __future__ import annotations

import os
import platform
import shlex
import sys

import click

from .. import __version__
from ..core import extras
from ..storage.fs.file_info import largest, size_text
from ._environment_archive import Packed, current_environment, pack
from ._output import write

__all__ = ["ship_command"]

LARGE = 2 << 30  # bytes of unpacked files from which an image is better
PYTHON = "./environment/bin/python"


@click.command("ship")
@click.option("-o", "--output", metavar="FILE", default="env.tar.gz", help="Default: env.tar.gz here.")
@click.option("--force", is_flag=True, help="Replace the file.")
@click.option(
    "--exclude", metavar="PATTERN", multiple=True, help="Leave files out: '*/site-packages/nvidia/*'. More than once."
)
@click.option(
    "--python-prefix",
    metavar="FOLDER",
    help="Where Python is on the cluster's machines: /usr for /usr/bin/python3.X. Default: as here. For virtual "
    "environments.",
)
def ship_command(output: str, force: bool, exclude: tuple[str, ...], python_prefix: str | None) -> None:
    """Pack this Python's environment, virtual or conda, for a cluster whose machines lack it.

    Prints the lines of configuration with which Spark unpacks it on each executor. Files of Spark and compiled modules
    are left out.
    """
    extras.require("ship", "hopslite ship")
    target = os.path.abspath(output)
    if not target.endswith((".tar.gz", ".tgz")):
        raise click.BadParameter(f"{target}: give a name that ends in .tar.gz", param_hint="--output")
    if python_prefix is not None and not os.path.isabs(python_prefix):
        raise click.BadParameter(f"{python_prefix}: give an absolute path, such as /usr", param_hint="--python-prefix")
    if not os.path.isdir(os.path.dirname(target)):
        raise FileNotFoundError(f"{os.path.dirname(target)} is no folder; make it first")
    if os.path.lexists(target) and not force:
        raise FileExistsError(f"{target} is there already; --force replaces it")
    environment = current_environment()
    if environment.kind == "conda" and python_prefix is not None:
        raise click.BadParameter("a conda environment has its own Python; leave it out", param_hint="--python-prefix")
    packed = pack(environment, target, exclude, python_prefix)
    _warn(packed)
    write(_description(packed))


def _warn(packed: Packed) -> None:
    if packed.unpacked < LARGE:
        return
    write(
        f"warning: {size_text(packed.unpacked)} when unpacked, which each executor fetches and keeps on its disk. The "
        f"largest: {largest(packed.sizes)}. --exclude leaves out what trials do not use, such as CUDA's libraries on "
        "machines without a GPU; an image or a shared folder has to be copied only once",
        err=True,
    )


def _description(packed: Packed) -> str:
    version = platform.python_version()
    minor = ".".join(map(str, sys.version_info[:2]))
    sizes = f"{size_text(packed.size)}, {size_text(packed.unpacked)} unpacked"
    lines = [f"{packed.path}: {sizes}, Python {version}, hopslite {__version__}"]
    if packed.python:
        lines.append(
            f"It holds a link to Python, not Python itself: every machine needs Python {minor} at {packed.python} "
            "(--python-prefix for another place; a conda environment brings its own)"
        )
    return "\n".join([*lines, "", _configuration(packed.path)])


def _configuration(path: str) -> str:
    """The lines of configuration for each kind of cluster."""
    archive, driver = f"{path}#environment", sys.executable
    name = os.path.basename(path)
    return f"""\
Standalone, YARN and Kubernetes with the driver here, before the session is made:
  export PYSPARK_PYTHON={PYTHON}
  export PYSPARK_DRIVER_PYTHON={shlex.quote(driver)}
  spark.archives  {archive}    (on YARN spark.yarn.dist.archives)

YARN with the driver on the cluster; put the archive where all can read it:
  spark.submit.deployMode  cluster
  spark.yarn.dist.archives  hdfs:///envs/{name}#environment
  spark.pyspark.python  {PYTHON}

Kubernetes with the driver on the cluster; the image has Spark and Python:
  spark.submit.deployMode  cluster
  spark.archives  s3a://bucket/envs/{name}#environment
  spark.pyspark.python  {PYTHON}

Spark Connect, in the program:
  spark = SparkSession.builder.remote("sc://HOST").getOrCreate()
  spark.addArtifacts({archive!r}, archive=True)
  spark.conf.set("spark.sql.execution.pyspark.python", "{PYTHON.removeprefix("./")}")"""
