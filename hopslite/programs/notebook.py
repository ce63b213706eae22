"""Notebooks as programs: executed cell by cell, with the trial's parameters, and kept with their outputs.

`python -m hopslite.programs.notebook train.ipynb` runs in the notebook's folder, and replaces the file there. Output of
the cells is written as it comes, so that metrics are read from it as from that of any program.
"""

from __future__ import annotations

import asyncio
import copy
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from ..core.redaction import redact_value

__all__ = ["KERNEL_PYTHON", "PARAMETERS", "main", "with_parameters"]

PARAMETERS = "parameters"  # tag of the cell with the defaults
INJECTED = "injected-parameters"  # and of the one with a trial's values; both as in papermill
KERNEL_PYTHON = "HOPSLITE_KERNEL_PYTHON"  # variable with the Python of the program's environment
ANSI = re.compile(r"\x1b\[[0-9;]*m")
LINE = 200  # characters of an error that a message has
FAILED = 1


def main(path: str) -> int:
    """Execute a notebook with the parameters in `$HOPSLITE_PARAMS`; returns the exit status."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    if problem := _kernel_problem():
        sys.stderr.write(f"{path}: {problem}\n")
        return FAILED
    notebook = with_parameters(_read(path), _params())
    client = _client(notebook, path)
    try:
        asyncio.run(_execute(client))
    except CellExecutionError as error:
        cell = _failed_cell(notebook)
        sys.stderr.write(ANSI.sub("", str(error.traceback)).rstrip() + "\n")
        sys.stderr.write(f"{path}, cell {cell}: {error.ename}: {ANSI.sub('', error.evalue)[:LINE]}\n")
        return FAILED
    except DeadKernelError:
        sys.stderr.write(f"{path}, cell {_failed_cell(notebook)}: the kernel died\n")
        return FAILED
    finally:
        _write(notebook, path)
    return 0


def with_parameters(notebook: Any, params: Mapping[str, Any]) -> Any:
    """Insert a cell that assigns parameters after the first one tagged `parameters`, or at the beginning.

    A cell that was inserted before is replaced.
    """
    import nbformat

    notebook.cells = [cell for cell in notebook.cells if INJECTED not in cell.metadata.get("tags", [])]
    tagged = [index for index, cell in enumerate(notebook.cells) if PARAMETERS in cell.metadata.get("tags", [])]
    if params:
        cell = nbformat.v4.new_code_cell(_assignments(params), metadata={"tags": [INJECTED]})  # type: ignore[no-untyped-call]
        if notebook.nbformat_minor < 5:  # which knows no ids of cells
            cell.pop("id", None)
        notebook.cells.insert(tagged[0] + 1 if tagged else 0, cell)
    return notebook


def _assignments(params: Mapping[str, Any]) -> str:
    return "\n".join(["# Parameters", *(f"{name} = {_literal(value)}" for name, value in params.items())])


def _literal(value: Any) -> str:
    """Python expression of a parameter's value."""
    is_finite = not isinstance(value, float) or math.isfinite(value)
    return repr(value) if is_finite else f'float("{value}")'


def _client(notebook: Any, path: str) -> Any:
    from nbclient import NotebookClient

    class Client(NotebookClient):
        """Client that writes the output of cells as it comes, and the notebook after each cell."""

        def output(self, outs: Any, msg: Any, display_id: Any, cell_index: Any) -> Any:
            content = msg["content"]
            if msg["msg_type"] == "stream":
                stream = sys.stderr if content["name"] == "stderr" else sys.stdout
                stream.write(content["text"])
                stream.flush()
            elif text := content.get("data", {}).get("text/plain"):
                sys.stdout.write(f"{text}\n")
                sys.stdout.flush()
            return super().output(outs, msg, display_id, cell_index)

    def keep(cell: Any, cell_index: int, execute_reply: Any) -> None:
        _write(notebook, path)

    is_python = notebook.metadata.get("kernelspec", {}).get("language", "python") == "python"
    kernel = "python3" if is_python else notebook.metadata["kernelspec"]["name"]  # python3 is this Python
    client = Client(notebook, timeout=None, kernel_name=kernel, on_cell_executed=keep)
    if (python := os.environ.get(KERNEL_PYTHON)) and is_python:
        manager: Any = client.create_kernel_manager()
        manager.kernel_spec.argv[0] = python
    return client


def _kernel_problem() -> str | None:
    """Problem of the environment that is to execute the notebook."""
    python = os.environ.get(KERNEL_PYTHON)
    if (
        not python
        or subprocess.run([python, "-c", "import ipykernel"], capture_output=True, check=False).returncode == 0
    ):
        return None
    return "the program's environment has no ipykernel, which executes its cells; add it to the requirements"


async def _execute(client: Any) -> None:
    """Execute all cells. SIGTERM interrupts the running one, which may save and end."""
    loop = asyncio.get_running_loop()
    tasks: list[Any] = []

    def interrupt() -> None:
        tasks.append(loop.create_task(client.km.interrupt_kernel()))

    def replace_handler(notebook: Any) -> None:  # that of the client, which ends the kernel
        loop.add_signal_handler(signal.SIGTERM, interrupt)

    client.on_notebook_start = replace_handler
    await client.async_execute()


def _failed_cell(notebook: Any) -> int:
    """Number of the cell that failed, or was executed last, from 1; all cells count."""
    cells = list(enumerate(notebook.cells, 1))
    begun = [number for number, cell in cells if cell.get("outputs") or cell.get("execution_count")]
    failed = [number for number, cell in cells if any(item.output_type == "error" for item in cell.get("outputs", ()))]
    return max(failed or begun or [1])


def _read(path: str) -> Any:
    """Notebook without the outputs of earlier executions."""
    import nbformat

    notebook: Any = nbformat.read(path, 4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _params() -> dict[str, Any]:
    params: dict[str, Any] = json.loads(os.environ.get("HOPSLITE_PARAMS", "{}"))
    return params


def _write(notebook: Any, path: str) -> None:
    """Replace the notebook as a whole, as the trial may be killed meanwhile; it is kept, so without secrets."""
    import nbformat

    kept = copy.deepcopy(notebook)
    for cell in kept.cells:
        if INJECTED in cell.metadata.get("tags", []):
            cell.source = _assignments(redact_value(_params()))
    partial = f"{path}.partial"
    nbformat.write(kept, partial)  # type: ignore[no-untyped-call]
    os.replace(partial, path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
