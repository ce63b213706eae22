"""Install frameworks without CUDA libraries, which are more than half of a development environment.

    python tests/helpers/install_frameworks.py constraints.txt             # all of them
    python tests/helpers/install_frameworks.py constraints.txt tensorflow
    python tests/helpers/install_frameworks.py "" tensorflow               # the newest version that is allowed

`pip install "hopslite[frameworks]"` brings CUDA libraries on Linux. Here TensorFlow is `tensorflow-cpu`, with
`tf_keras` beside it (which would bring `tensorflow`). PyTorch's build for the processor comes from wherever pip finds
one, or from the index of these builds; where there is none, PyTorch comes from PyPI, with CUDA libraries. What is
installed already stays.
"""

from __future__ import annotations

import importlib.metadata
import platform
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def requirements() -> dict[str, str]:
    """The requirements of the extra by distribution, read without a TOML parser, which Python 3.10 does not have."""
    text = re.search(r"^frameworks = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL)
    assert text is not None
    return {re.split(r"[=<>~]", quoted)[0]: quoted for quoted in re.findall(r'^\s*"([^"]+)"', text[1], re.MULTILINE)}


def is_installed(distribution: str) -> bool:
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False


def install(constraints: str, *requirements: str) -> None:
    command = ["uv", "pip", "install", "--quiet", "--compile-bytecode", "--python", sys.executable]
    command[0] = str(Path(sys.executable).with_name("uv"))
    subprocess.run([*command, *(["--constraint", constraints] if constraints else []), *requirements], check=True)


def torch_without_cuda(requirement: str) -> bool:
    """Install PyTorch's build for the processor, if there is one; its other requirements are installed later."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    for places in (["--only-binary", ":all:"], ["--retries", "0", "--index-url", TORCH_INDEX]):
        done = subprocess.run([*command, *places, f"{requirement}+cpu"], check=False, stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return True
    return False


def main(constraints: str, names: list[str]) -> None:
    chosen = {name: requirement for name, requirement in requirements().items() if name in names or not names}
    wanted = {name: requirement for name, requirement in chosen.items() if not is_installed(name)}
    if "tensorflow" in wanted and is_installed("tensorflow-cpu"):
        del wanted["tensorflow"]
    if not wanted:
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):  # elsewhere PyPI's are built for the CPU
        install(constraints, *wanted.values())
        return
    if "tensorflow" in wanted:
        install(constraints, wanted.pop("tensorflow").replace("tensorflow", "tensorflow-cpu"))
    if "tf_keras" in wanted:
        install(constraints, "--no-deps", wanted.pop("tf_keras"))
    if "torch" in wanted and not torch_without_cuda(wanted["torch"]):
        print(f"there is no {wanted['torch']} for the processor: PyTorch comes from PyPI, with CUDA libraries")
    if wanted:
        install(constraints, *wanted.values())  # also what PyTorch needs


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
