"""Redaction of Spark's configuration by an allow list: only values known to be harmless are kept."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from importlib import resources

from ._names import Likelihood, likelihood_of, words_of
from ._tokens import REDACTED, without_tokens
from ._urls import without_url_secrets

__all__ = ["spark_settings"]

# Documented settings that hold no secrets, `*` for a part that users choose; most are those that Spark 4 itself lists
# as public (`ConfigEntry.isPublic`, `SET -v`).
KEYS = "spark_keys.txt"
# Common variables of the executors' environment.
VARIABLES = words_of(
    "CUDA_VISIBLE_DEVICES CUDA_HOME HADOOP_CONF_DIR HADOOP_HOME HOME JAVA_HOME KERAS_BACKEND LANG "
    "LD_LIBRARY_PATH MKL_NUM_THREADS NCCL_DEBUG NCCL_SOCKET_IFNAME NUMEXPR_NUM_THREADS OMP_NUM_THREADS "
    "OPENBLAS_NUM_THREADS PATH PWD PYSPARK_DRIVER_PYTHON PYSPARK_PYTHON PYTHONHASHSEED PYTHONPATH "
    "PYTHONUNBUFFERED SPARK_CONF_DIR SPARK_HOME SPARK_LOCAL_DIRS TF_CPP_MIN_LOG_LEVEL TF_USE_LEGACY_KERAS TMPDIR "
    "TOKENIZERS_PARALLELISM TZ USER XLA_FLAGS"
)
ENVIRONMENT = ("spark.executorEnv.", "spark.yarn.appMasterEnv.", "spark.kubernetes.driverEnv.")
JAVA_OPTIONS = re.compile(r"(?i)javaoptions$")
HARMLESS_PROPERTIES = ("java.", "jdk.", "sun.", "user.", "file.encoding", "io.netty.", "log4j", "derby.system.home")
# Harmless values of unknown settings: booleans, and numbers, also of bytes or seconds.
PLAIN = re.compile(r"(?i)true|false|-?\d{1,9}(?:\.\d{1,9})?(?:e-?\d{1,3})?\s?(?:ns|us|ms|s|m|min|h|d|b|[kmgtp]i?b?)?")
SPARKS_OWN = "(?i)secret|password|token|access[.]?key"  # the default of spark.redaction.regex
REGEXES = ("spark.redaction.regex", "spark.redaction.string.regex")


def spark_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Redact Spark's settings and sort them; values not known to be harmless become "(redacted)".

    What `spark.redaction.regex` matches, in a key or a value, is redacted as Spark does in its own interface.

    >>> spark_settings({"spark.executor.cores": "2", "spark.hadoop.fs.s3a.encryption.key": "hunter2"})
    {'spark.executor.cores': '2', 'spark.hadoop.fs.s3a.encryption.key': '(redacted)'}
    """
    is_hidden = _hidden_by_user(settings)
    return {key: _kept(key, str(value), is_hidden) for key, value in sorted(settings.items())}


def _kept(key: str, value: str, is_hidden: Callable[[str], bool]) -> str:
    is_known = bool(_known_keys().fullmatch(key))
    if is_hidden(key) or is_hidden(value):
        return REDACTED
    if JAVA_OPTIONS.search(key):
        return " ".join(map(_java_option, value.split()))
    prefix = next((start for start in ENVIRONMENT if key.startswith(start)), None)
    is_known = is_known or (prefix is not None and key.removeprefix(prefix) in VARIABLES)
    if is_known:
        return without_tokens(without_url_secrets(value))
    is_plain = PLAIN.fullmatch(value) is not None and likelihood_of(key) in (
        Likelihood.NOTHING,
        Likelihood.MAYBE,
    )
    return value if is_plain or not value or value.lower() in ("true", "false") else REDACTED


@functools.cache
def _known_keys() -> re.Pattern[str]:
    lines = resources.files(__package__).joinpath(KEYS).read_text("utf-8").split()
    return re.compile("|".join(re.escape(line).replace(r"\*", r"[^.=\s]+") for line in lines))


def _hidden_by_user(settings: Mapping[str, str]) -> Callable[[str], bool]:
    """Predicate for texts that match Spark's own redaction expressions; all match where Python cannot compile one."""
    regexes = [settings[key] for key in REGEXES if settings.get(key)]
    try:
        patterns = [re.compile(regex) for regex in regexes]
    except re.error:
        return lambda _: True
    return lambda text: any(pattern.search(text) for pattern in patterns)


def _java_option(option: str) -> str:
    """Redact an option of the JVM; of an unknown property only the name is kept."""
    name, equals, _ = option.partition("=")
    if option.startswith(("-X", "--add-", "--enable-", "-ea", "-server")) and likelihood_of(name) is Likelihood.NOTHING:
        return without_tokens(without_url_secrets(option))
    known = name.startswith("-D") and (name[2:].startswith(HARMLESS_PROPERTIES) or _known_keys().fullmatch(name[2:]))
    if known and likelihood_of(name) is Likelihood.NOTHING:
        return without_tokens(without_url_secrets(option))
    return f"{name}={REDACTED}" if equals and name.startswith("-") else REDACTED
