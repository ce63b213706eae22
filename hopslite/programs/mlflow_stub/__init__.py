"""MLflow server for programs that run as trials: answers their calls locally and reports their metrics."""

from .server import MlflowCalls

__all__ = ["MlflowCalls"]
