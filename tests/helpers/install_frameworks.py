"""Install what pip alone would install badly: frameworks without CUDA libraries, and the boto3 that fits s3fs.

    python tests/helpers/install_frameworks.py           # all of it
    python tests/helpers/install_frameworks.py tensorflow

`pip install "hopslite[frameworks]"` brings CUDA libraries on Linux, which are more than half of a development
environment. Here TensorFlow is `tensorflow-cpu`, with `tf_keras` beside it (which would bring `tensorflow`). PyTorch
comes from the index of its CPU builds, or from PyPI where that cannot be reached. What is installed already stays.

MLflow loads models from S3 with boto3, of which every version wants its own botocore, as aiobotocore does. Among the
requirements of one call it makes pip try old versions of s3fs for minutes; the version of botocore that is there fits.
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


def pip(*arguments: str, check: bool = True) -> bool:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=check).returncode == 0


def main(names: list[str]) -> None:
    if not names and not is_installed("boto3"):
        pip(f"boto3=={importlib.metadata.version('botocore')}")
    chosen = {name: requirement for name, requirement in requirements().items() if name in names or not names}
    wanted = {name: requirement for name, requirement in chosen.items() if not is_installed(name)}
    if not wanted:
        return
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):  # elsewhere PyPI's are built for the CPU
        pip(*wanted.values())
        return
    tensorflow = wanted.pop("tensorflow", None)
    if tensorflow is not None:
        pip(tensorflow.replace("tensorflow", "tensorflow-cpu"))
    tf_keras = wanted.pop("tf_keras", None)
    if tf_keras is not None:
        pip("--no-deps", tf_keras)
    torch = wanted.get("torch")
    if torch is not None and not pip("--retries", "0", "--no-deps", "--index-url", TORCH_INDEX, torch, check=False):
        print(f"{TORCH_INDEX} has no {torch}, or cannot be reached: PyTorch comes from PyPI, with CUDA libraries")
    if wanted:
        pip(*wanted.values())  # also what PyTorch needs


if __name__ == "__main__":
    main(sys.argv[1:])
