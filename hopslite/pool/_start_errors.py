"""Reasons why Spark does not start, in one line: checks before the start, and messages of its exceptions."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import socket
import urllib.parse

__all__ = ["IN_A_TRIAL", "problem_with_master", "problem_with_options", "reason"]

IN_A_TRIAL = (
    "a trial cannot start trials on Spark. If its training function is not meant to, it imports your program: is it "
    "named like a module, as keras.py is, or is its call not under `if __name__ == '__main__':`?"
)
PATIENCE_SECONDS = 3.0  # for a master to accept a connection
LOCAL = re.compile(r"local(\[\s*(\d+|\*)\s*(,\s*\d+\s*)?\])?|local-cluster\[\s*\d+\s*,\s*\d+\s*,\s*\d+\s*\]")
MASTERS = "local[4], local[*], spark://HOST:7077, yarn or k8s://https://HOST:443"
EXCEPTION = re.compile(r"^(?:: |Caused by: )(?:[\w$]+\.)*([\w$]+)(?:: (.*))?$", re.MULTILINE)
LONGEST = 500  # characters of a reason
DEFAULT_PORTS = {"http": 80, "https": 443}


def problem_with_master(master: str) -> str | None:
    """Problem with a master URL, from a short check; None when Spark may be able to start with it."""
    if master.startswith("local") and not LOCAL.fullmatch(master):
        return f"{master!r} is not a master URL; give one such as {MASTERS}"
    if master.startswith("yarn") and not {"HADOOP_CONF_DIR", "YARN_CONF_DIR"} & os.environ.keys():
        return f"with the master {master!r} Spark needs HADOOP_CONF_DIR or YARN_CONF_DIR, and neither is set"
    failures = []
    for host, port in _addresses(master):
        try:
            socket.create_connection((host, port), PATIENCE_SECONDS).close()
            return None
        except OSError as error:
            failures.append(f"{host}:{port} ({error.strerror or error})")
    if failures:
        return f"no master answers at {', '.join(failures)}; start it, or give another master than {master}"
    return None


def _addresses(master: str) -> list[tuple[str, int]]:
    """Host and port of each master in a URL; empty if they are not known."""
    matches = []
    if master.startswith(("spark://", "k8s://")):
        scheme, _, hosts = master.partition("://")
        for part in hosts.split(",") if scheme == "spark" else [hosts]:
            with contextlib.suppress(ValueError):  # Spark reports malformed URLs
                url = urllib.parse.urlsplit(part if "://" in part else f"//{part}")
                port = url.port or DEFAULT_PORTS.get(url.scheme or ("https" if scheme == "k8s" else ""))
                if url.hostname and port:
                    matches.append((url.hostname, port))
    return matches


def problem_with_options() -> str | None:
    """Problem with the syntax of PYSPARK_SUBMIT_ARGS; None when there is none."""
    submit_args = os.environ.get("PYSPARK_SUBMIT_ARGS", "")
    try:
        arguments = shlex.split(submit_args)
    except ValueError as error:
        return f"PYSPARK_SUBMIT_ARGS cannot be parsed: {error}"  # its text is not shown, since it may hold secrets
    settings = [word for option, word in itertools.pairwise(arguments) if option in ("--conf", "-c")]
    settings += [word.removeprefix("--conf=") for word in arguments if word.startswith("--conf=")]
    if malformed := [setting for setting in settings if not setting.partition("=")[1]]:
        return f"--conf {malformed[0]} in PYSPARK_SUBMIT_ARGS has no value; give --conf NAME=VALUE"
    if arguments and arguments[-1] != "pyspark-shell":
        return "the last word of PYSPARK_SUBMIT_ARGS has to be pyspark-shell"
    return None


def reason(error: BaseException) -> str:
    """Message of a Spark exception, without Java's stack traces."""
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text or "gateway process exited" in text:
        options = f"{'PYSPARK_SUBMIT_ARGS, ' if os.environ.get('PYSPARK_SUBMIT_ARGS') else ''}spark-defaults.conf"
        return f"Java ended before Spark was up, for the reason printed above; check {options} and JAVA_HOME"
    matches = [f"{name}: {message}" if message else name for name, message in EXCEPTION.findall(text)]
    if not matches:
        return " ".join(text.split())[:LONGEST] or type(error).__name__
    first, last = _plain(matches[0]), _plain(matches[-1])
    text = first if last in first else f"{first} ({last})"
    hint = f"; give one such as {MASTERS}" if "parse Master URL" in text else ""
    return f"{text[:LONGEST]}{hint}"


def _plain(line: str) -> str:
    """A line of an exception without a class name that carries no information."""
    return re.sub(r"^SparkException: (\[\w+(\.\w+)*\] )?", "", line).strip()
