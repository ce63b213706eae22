"""Checks of `hopslite doctor --cluster`: a cluster whose executors were asked in one Spark job."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

from .. import __version__
from ..core.redaction import without_credentials
from ..core.settings import Settings
from ..errors import HopsliteError
from ..executor.port_reservation import parse_ports
from ..pool._cluster_probe import ClusterFacts, ExecutorFacts, probe
from ..pool._python_check import differences, minor, own_packages
from ..storage.fs.file_info import size_text
from ..storage.project import Project
from ._findings import Finding

__all__ = ["cluster_findings", "findings_of", "spark_gpus"]

CLOCK_SECONDS = 2.0  # of difference, from which there is a note
LITTLE = 1 << 30  # bytes of free disk below which there is a warning
SHOWN = 3  # executors that a row names


def cluster_findings(settings: Settings, master: str | None = None) -> Iterator[Finding]:
    """Check the cluster of Spark's configuration, or with a master; a session of ours ends afterwards."""
    from ..pool._connect_session import is_wanted
    from ..pool._spark_session import open_session

    if is_wanted(None) if master is None else master.startswith("sc://"):
        text = "a Spark Connect server is named (SPARK_REMOTE, --master), and this check asks a SparkContext"
        yield Finding("Cluster", "problem", text, "hopslite doctor describes the server and an executor")
        return
    try:
        ports = parse_ports(settings.channel_port, "channel_port")
        project = Project(settings.project)
        spark = open_session(master=master)
    except (HopsliteError, OSError, ImportError) as error:
        todo = "see docs/clusters.md; hopslite doctor checks this machine"
        yield Finding("Cluster", "problem", without_credentials(str(error)), todo)
        return
    try:
        spark.sparkContext.setLogLevel("OFF")
        facts = probe(spark, project, ports)
    except OSError as error:
        todo = "choose others with HOPSLITE_CHANNEL_PORT; spark.driver.bindAddress is an address of this machine"
        yield Finding("Driver", "problem", f"executors could not connect: {error}", todo)
        return
    finally:
        spark.stop()
    yield from findings_of(facts, own_packages())


def findings_of(facts: ClusterFacts, own: Mapping[str, str]) -> Iterator[Finding]:
    """The findings about a cluster.

    Args:
        own: versions of the driver's packages.
    """
    yield Finding("Cluster", "ok", f"Spark {facts.version} on {facts.master}, {facts.application}")
    yield _slots(facts)
    if facts.answers is None:
        todo = "are its cores in use by others, or its machines too small? See Spark's user interface"
        yield Finding("Executors", "problem", f"no task has run in time; {facts.occupancy}", todo)
        return
    yield _python(facts.answers)
    working = [executor for executor in facts.answers if executor.failure is None]
    if working:
        yield _packages(working, own)
        yield _route(facts, working)
        yield _project(facts, working)
        yield _clocks(working)
        yield _disks(working)
    yield from _gpus(facts)


def _slots(facts: ClusterFacts) -> Finding:
    text = f"{facts.slots} for trials with Spark's defaults, {facts.free} cores free: {facts.occupancy}"
    if facts.executors and not facts.free:
        return Finding("Slots", "problem", text, "all cores are in use; trials wait until some are free")
    return Finding("Slots", "ok", text)


def _python(answers: Iterable[ExecutorFacts]) -> Finding:
    own = platform.python_version()
    for executor in answers:
        cure = f"set PYSPARK_PYTHON to a Python {'.'.join(minor(own))} with hopslite on every machine; or hopslite ship"
        if executor.failure is not None:
            return Finding("Python", "problem", f"{executor.host}: it does not run ({executor.failure})", cure)
        description = f"{executor.executable} on {executor.host} is Python {executor.python}"
        if minor(executor.python) != minor(own):
            return Finding("Python", "problem", f"{description}, and this is {own} ({sys.executable})", cure)
        if executor.problem is not None:
            return Finding("Python", "problem", f"{description} without a working hopslite: {executor.problem}", cure)
    return Finding("Python", "ok", _each(answers, lambda executor: f"{executor.python} ({executor.executable})"))


def _packages(answers: Iterable[ExecutorFacts], own: Mapping[str, str]) -> Finding:
    for executor in answers:
        different = differences(executor.packages, own)
        if different:
            state = "problem" if executor.packages.get("hopslite", __version__) != __version__ else "note"
            return Finding("Packages", state, f"on {executor.host} {'; '.join(different)}")
    text = ", ".join(f"{name} {version}" for name, version in own.items())
    return Finding("Packages", "ok", f"{text}, as here")


def _route(facts: ClusterFacts, answers: Iterable[ExecutorFacts]) -> Finding:
    lost = [executor for executor in answers if executor.route_error is not None]
    if lost:
        text = f"{_hosts(lost)} cannot reach the driver at {facts.driver}: {lost[0].route_error}"
        todo = (
            "set spark.driver.host to an address of this machine that executors reach, and open the ports of "
            "channel_port (HOPSLITE_CHANNEL_PORT=40000-40100) to them"
        )
        return Finding("Driver", "problem", text, todo)
    slowest = max((executor.seconds or 0.0 for executor in answers), default=0.0)
    return Finding("Driver", "ok", f"executors reach it at {facts.driver}, within {1000 * slowest:.0f} ms")


def _project(facts: ClusterFacts, answers: Iterable[ExecutorFacts]) -> Finding:
    todo = "driver and executors need the same project: a shared folder, or a store; see docs/storage.md"
    if facts.project_error is not None:
        return Finding("Project", "problem", without_credentials(f"not from here: {facts.project_error}"), todo)
    lost = [executor for executor in answers if executor.written not in facts.arrived]
    if lost:
        reason = lost[0].project_error or "what it wrote is not there: this is another disk"
        text = f"{facts.project} cannot be written from {_hosts(lost)}: {without_credentials(reason)}"
        return Finding("Project", "problem", text, todo)
    return Finding("Project", "ok", f"{facts.project} can be written from all executors")


def _clocks(answers: Iterable[ExecutorFacts]) -> Finding:
    known = [executor for executor in answers if executor.clock is not None]
    if not known:
        return Finding("Clocks", "note", "not known without a way to the driver")
    furthest = max(known, key=lambda executor: abs(executor.clock or 0.0))
    difference = furthest.clock or 0.0
    text = (
        f"that of {furthest.host} is {abs(difference):.2f} s {'ahead of' if difference > 0 else 'behind'} the driver's"
    )
    if abs(difference) > CLOCK_SECONDS:
        return Finding("Clocks", "note", text, "times in files and logs of trials are by that clock; use NTP")
    return Finding("Clocks", "ok", text)


def _disks(answers: Iterable[ExecutorFacts]) -> Finding:
    known = [executor for executor in answers if executor.free is not None]
    if not known:
        return Finding("Disks", "note", "the room for temporary files is not known")
    least = min(known, key=lambda executor: executor.free or 0)
    text = f"{size_text(least.free or 0)} free in {least.temporary} on {least.host}"
    if (least.free or 0) < LITTLE:
        return Finding("Disks", "note", text, "little room is left there; TMPDIR chooses another folder")
    return Finding("Disks", "ok", f"at least {text}")


def _gpus(facts: ClusterFacts) -> Iterator[Finding]:
    amount = facts.conf.get("spark.executor.resource.gpu.amount")
    without = sum(not addresses for addresses in facts.gpus)
    if amount is None:
        yield Finding("GPUs", "note", "Spark assigns none (spark.executor.resource.gpu.amount is not set)")
    elif without or not facts.gpus:
        silent = f"{without or 'all'} of {len(facts.gpus)}"
        text = f"{amount} on each executor by Spark's configuration, but {silent} have announced none"
        yield Finding("GPUs", "problem", text, "does the discovery script run there? See conf/gpu-discovery.sh")
    else:
        shown = "; ".join(", ".join(addresses) for addresses in facts.gpus[:SHOWN])
        yield Finding("GPUs", "ok", f"{amount} on each executor: {shown}{' …' if len(facts.gpus) > SHOWN else ''}")
        yield from spark_gpus(facts.version, amount, facts.conf.get("spark.task.resource.gpu.amount"))


def spark_gpus(version: str, of_executor: str | None, of_task: str | None) -> Iterator[Finding]:
    """GPUs that Spark assigns; none in local mode, where hopslite distributes those of the machine."""
    if of_executor is None:
        return
    text = f"{of_executor} on each executor, {of_task or 'none'} for a task by Spark's configuration"
    if int(version.partition(".")[0]) >= 4:
        yield Finding("Task GPUs", "ok", f"{text}; gpus_per_trial takes others, also shares such as 0.25")
    else:
        todo = "for shares, set spark.task.resource.gpu.amount to the same, or use Spark 4"
        yield Finding("Task GPUs", "ok", f"{text}; gpus_per_trial takes other whole numbers", todo)


def _each(answers: Iterable[ExecutorFacts], text_of: Callable[[ExecutorFacts], str]) -> str:
    """A text of all executors, where it differs with their hosts."""
    hosts: dict[str, list[str]] = {}
    for executor in answers:
        hosts.setdefault(text_of(executor), []).append(executor.host)
    if len(hosts) == 1:
        return f"{next(iter(hosts))} on all executors that were asked"
    return "; ".join(f"{text} on {', '.join(sorted(set(names))[:SHOWN])}" for text, names in hosts.items())


def _hosts(executors: Iterable[ExecutorFacts]) -> str:
    names = sorted({executor.host for executor in executors})
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
