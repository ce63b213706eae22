"""Records of TensorBoard's HParams dashboard and of its scalars, as protocol buffers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.types import Result, State
from ._base import compact
from ._tensorboard_ui import LOGARITHMIC

__all__ = ["experiment", "scalar", "session_end", "session_start"]

LOGARITHMIC_TYPES = ("loguniform", "lognormal")
LONGEST_DOMAIN = 200  # choices listed in the dashboard's filter


def experiment(
    data: Mapping[str, Any], created: float, params: Mapping[str, Sequence[Any]], outputs: Iterable[str]
) -> Any:
    """Summary of the search space and metrics; `params` has sample values for parameters that the space lacks."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    space = data.get("space") or {}
    infos = [_dimension(name, space.get(name), values) for name, values in params.items()]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name), display_name=name) for name in outputs]
    content = api_pb2.Experiment(
        name=f"{data.get('name')} v{data.get('version')}",
        description=str(data.get("description") or ""),
        user=str(data.get("user") or ""),
        time_created_secs=created,
        hparam_infos=infos,
        metric_infos=metrics,
    )
    return _plugin(metadata.EXPERIMENT_TAG, plugin_data_pb2.HParamsPluginData(experiment=content))


def _dimension(name: str, dimension: Any, values: Sequence[Any]) -> Any:
    from tensorboard.plugins.hparams import api_pb2

    info = api_pb2.HParamInfo(name=name, display_name=name)
    dimension = dimension if isinstance(dimension, dict) else {}
    if "low" in dimension and "high" in dimension:
        info.type = api_pb2.DATA_TYPE_FLOAT64
        if dimension.get("log") or dimension.get("type") in LOGARITHMIC_TYPES:
            info.description = LOGARITHMIC
        info.domain_interval.min_value = float(dimension["low"])
        info.domain_interval.max_value = float(dimension["high"])
        return info
    choices = dimension.get("values")
    known = choices if isinstance(choices, list) else values
    mixed = is_mixed(known)
    sample = _plain(known[0], mixed) if known else ""
    info.type = (
        api_pb2.DATA_TYPE_BOOL
        if isinstance(sample, bool)
        else api_pb2.DATA_TYPE_STRING
        if isinstance(sample, str)
        else api_pb2.DATA_TYPE_FLOAT64
    )
    if isinstance(choices, list) and len(choices) <= LONGEST_DOMAIN:
        info.domain_discrete.extend([_plain(value, mixed) for value in choices])
    return info


def session_start(trial_id: str, params: Mapping[str, Any], space: Mapping[str, Any], started: float) -> Any:
    """Summary of a trial's hyperparameters."""
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(group_name=trial_id, start_time_secs=started)
    for name, value in params.items():
        dimension = space.get(name)
        choices = dimension.get("values") if isinstance(dimension, dict) else None
        plain = _plain(value, is_mixed(choices) if isinstance(choices, list) else False)
        target = info.hparams[name]
        if isinstance(plain, bool):
            target.bool_value = plain
        elif isinstance(plain, str):
            target.string_value = plain
        else:
            target.number_value = plain
    return _plugin(metadata.SESSION_START_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_start_info=info))


def session_end(result: Result, ended: float) -> Any:
    """Summary of a trial's end."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    well = result.state in (State.FINISHED, State.STOPPED)
    info = plugin_data_pb2.SessionEndInfo(
        status=api_pb2.STATUS_SUCCESS if well else api_pb2.STATUS_FAILURE, end_time_secs=ended
    )
    return _plugin(metadata.SESSION_END_INFO_TAG, plugin_data_pb2.HParamsPluginData(session_end_info=info))


def scalar(name: str, value: float) -> Any:
    """Summary of one point of a curve."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value)])


def is_mixed(values: Sequence[Any]) -> bool:
    """True if values are of several types, which the dashboard shows only as text."""
    return len({_kind(value) for value in values}) > 1


def _kind(value: Any) -> type:
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, (int, float)) else str


def _plain(value: Any, as_text: bool) -> bool | float | str:
    if as_text or not isinstance(value, (bool, int, float)):
        return compact(value)
    if isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return compact(value)


def _plugin(tag: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata

    return Summary(
        value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content), tensor=metadata.NULL_TENSOR)]
    )
