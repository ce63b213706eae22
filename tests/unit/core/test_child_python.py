"""Other Pythons are started with this one's import path, whatever its folders are called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hopslite.core.child_python import python_command


def test_folders_with_colons_and_other_characters(tmp_path: Path) -> None:
    names = ["plain", "run 2024-05-01T10:30:00", 'it\'s "quoted"', "é", os.fsdecode(b"\xff"), "after"]
    folders = [str(tmp_path / name) for name in names]
    for number, folder in enumerate(folders):
        os.mkdir(folder)
        Path(folder, f"module{number}.py").write_text(f"VALUE = {number}\n")
        Path(folder, "common.py").write_text(f"VALUE = {number}\n")
    modules = ", ".join(f"module{number}" for number in range(len(names)))
    every = f"import common, {modules}; print(common.VALUE, [module.VALUE for module in ({modules})])"
    assert output(every, folders) == "0 [0, 1, 2, 3, 4, 5]\n"
    assert output("import common; print(common.VALUE)", folders[1:]) == "1\n"
    assert output("import common; print(common.VALUE)", [folders[0], folders[-1]]) == "0\n"


def output(code: str, import_path: list[str]) -> str:
    command, variables = python_command(code, import_path)
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True).stdout
