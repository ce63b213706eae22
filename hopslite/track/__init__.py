"""Trackers: views of a run's journal in MLflow and TensorBoard.

`deliver` follows a journal, in threads of a process that is not the driver; when it cannot deliver (a server is down)
`python -m hopslite.track RUN_DIRECTORY` delivers later what the journal holds.
"""

from ._base import Context, Tracker, Unavailable, command
from ._interpreter import boot, environment, own_stdout
from ._mlflow_client import prepare_environment
from ._mlflow_database import lock_new_database
from ._mlflow_registry_process import register_model
from ._mlflow_view import PREPARED_VIEW
from ._run_delivery import Tell, deliver
from ._tensorboard_import import disable_tensorflow
from ._tensorboard_server import TensorBoardServer

__all__ = [
    "Context",
    "PREPARED_VIEW",
    "Tell",
    "TensorBoardServer",
    "Tracker",
    "Unavailable",
    "boot",
    "command",
    "deliver",
    "disable_tensorflow",
    "environment",
    "lock_new_database",
    "own_stdout",
    "prepare_environment",
    "register_model",
]
