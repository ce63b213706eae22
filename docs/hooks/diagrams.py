"""Diagrams of the documentation: Mermaid, drawn in the reader's browser by a script of this site.

The theme would fetch Mermaid from another host. `make docs` takes it from npm once; where there is no npm a diagram is
shown as its text.
"""

from __future__ import annotations

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from pymdownx.superfences import fence_code_format

SCRIPT = Path(__file__).resolve().parents[2] / ".cache/mermaid/mermaid.min.js"
ON_SITE = "assets/javascripts/mermaid.min.js"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    if SCRIPT.is_file():
        fence = {"name": "mermaid", "class": "mermaid", "format": fence_code_format}
        config.mdx_configs["pymdownx.superfences"] = {"custom_fences": [fence]}
        config.extra_javascript.append(ON_SITE)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    if SCRIPT.is_file():
        files.append(File.generated(config, ON_SITE, abs_src_path=str(SCRIPT)))
    return files
