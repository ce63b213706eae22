"""Makes the archive of Spark's loaded classes that `spark_cluster.SHORT_LIVED` names.

    python -m tests.helpers.spark_archive

A JVM that maps it needs half as much processor time to start a Spark. Java does without one that is missing, or made
by another Java or of other jars.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from pyspark import SparkConf, SparkContext

from tests.helpers.observe import end
from tests.helpers.spark_cluster import ARCHIVE, QUIET, WITHOUT_ARCHIVE


def make(path: Path) -> None:
    """Run a job on a separate executor; the driver's JVM, which has met all of Spark, writes the archive as it ends."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        unfinished = Path(folder, path.name)
        os.environ["SPARK_SUBMIT_OPTS"] = f'{WITHOUT_ARCHIVE} {QUIET} -XX:ArchiveClassesAtExit="{unfinished}"'
        conf = {
            "spark.master": "local-cluster[1,1,512]",
            "spark.executor.memory": "512m",
            "spark.app.name": "archive",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.log.level": "ERROR",
        }
        with SparkContext(conf=SparkConf(loadDefaults=False).setAll(list(conf.items()))) as context:
            assert context.parallelize(range(4), 2).map(abs).sum() == 6
        gateway: Any = SparkContext._gateway
        gateway.shutdown()
        gateway.proc.stdin.close()  # the JVM ends when its standard input does
        end(gateway.proc, 120)
        unfinished.replace(path)


if __name__ == "__main__":
    make(ARCHIVE)
