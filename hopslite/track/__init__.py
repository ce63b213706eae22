"""Who else is told of a run: views of its journal, made in a process of their own.

A tracker never slows the trials or the driver: `start` makes a process that follows the journal, and when it cannot
deliver (a server is down) `python -m hopslite.track RUN_DIRECTORY` delivers later what the journal holds.
"""

from ._mlflow_client import alone_with_new_database
from ._process import Handle, boot, environment, start
from ._registry import register_model
from ._server import TensorBoardServer
from ._tracker import Context, Tracker, Unavailable

__all__ = [
    "Context",
    "Handle",
    "TensorBoardServer",
    "Tracker",
    "Unavailable",
    "alone_with_new_database",
    "boot",
    "environment",
    "register_model",
    "start",
]
