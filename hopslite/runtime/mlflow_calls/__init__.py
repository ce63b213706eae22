"""The MLflow calls of a program that runs as a trial: they are answered in the trial, and their metrics are its own."""

from ._calls import MlflowCalls

__all__ = ["MlflowCalls"]
