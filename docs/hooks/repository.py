"""For the site: what the pages of docs/ link to elsewhere in the repository become pages as well.

A link such as `../examples/resume.py` leads to the file in the repository's own view. On the site it leads to the page
`repository/examples/resume.py.html`, which is made from the file: Markdown as it is, notebooks cell by cell, other
files as code, and folders as a list of their files.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import xml.etree.ElementTree as etree
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from markdown import Markdown
from markdown.extensions import Extension
from markdown.treeprocessors import Treeprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
SHOWN = ("examples", "conf", "notebooks", "benchmarks/README.md", "CHANGELOG.md")
HERE = "repository/"
LANGUAGES = {
    ".py": "python",
    ".sh": "sh",
    ".env": "sh",
    ".toml": "toml",
    ".xml": "xml",
    ".conf": "properties",
    ".hjson": "js",
}
HIDDEN = re.compile(r"__pycache__|\.")  # beginnings of names that are nobody's business


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    config.markdown_extensions.append(LINKS)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for shown in SHOWN:
        for path in _walk(ROOT / shown):
            files.append(File.generated(config, page_of(path), content=_page(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **kwargs: Any) -> str:
    LINKS.processor.page = page.file.src_uri
    return markdown


def _walk(path: Path) -> Iterator[Path]:
    """The path and, of a folder, what is in it."""
    yield path
    if path.is_dir():
        for inside in sorted(path.iterdir()):
            if not HIDDEN.match(inside.name):
                yield from _walk(inside)


def page_of(path: Path) -> str:
    """The page, as a path below docs/, for a file or folder of the repository."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        return f"{HERE}{name}/index.md"
    return HERE + name if path.suffix == ".md" else f"{HERE}{name}.md"


def folder_of(page: str) -> str:
    """The folder, below the repository's root, that the links of a page start from."""
    return posixpath.dirname(page.removeprefix(HERE) if page.startswith(HERE) else f"docs/{page}")


def _page(path: Path) -> str:
    if path.is_dir():
        return _folder(path)
    text = path.read_text()
    if path.suffix == ".md":
        return text
    if path.suffix == ".ipynb":
        return "\n\n".join(_cells(json.loads(text)))
    return f"# {path.name}\n\n`{path.relative_to(ROOT)}`\n\n{_code(text, LANGUAGES.get(path.suffix, 'text'))}"


def _folder(path: Path) -> str:
    lines = [f"# {path.relative_to(ROOT)}/", ""]
    for inside in sorted(path.iterdir()):
        if not HIDDEN.match(inside.name):
            name = inside.name + "/" * inside.is_dir()
            lines.append(f"- [{name}]({name}): {_about(inside)}" if _about(inside) else f"- [{name}]({name})")
    return "\n".join(lines)


def _about(path: Path) -> str:
    """What a file says of itself in its first lines."""
    if path.suffix == ".py":
        return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0].replace("\n", " ")
    if path.suffix in LANGUAGES and path.suffix != ".xml":
        comment = re.search(r"^(?:# .*\n)+", path.read_text(), re.MULTILINE)
        words = re.sub(r"^# ", "", comment[0], flags=re.MULTILINE).replace("\n", " ") if comment else ""
        return re.split(r"(?<=\.) ", words)[0].strip()
    return ""


def _cells(book: dict[str, Any]) -> Iterator[str]:
    for cell in book["cells"]:
        source = "".join(cell["source"])
        yield source if cell["cell_type"] == "markdown" else _code(source, "python")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                yield f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
            elif "text/plain" in data:
                yield _code("".join(data["text/plain"]), "text")


def _code(text: str, language: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````"


class Links(Treeprocessor):
    """Turns links that are right in the repository into links that are right on the site."""

    page = ""

    def run(self, root: etree.Element) -> None:
        for element in root.iter("a"):
            element.set("href", self.moved(element.get("href", "")))

    def moved(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return url
        target = posixpath.normpath(posixpath.join(folder_of(self.page), parts.path))
        page = target.removeprefix("docs/") if target.startswith("docs/") else page_of(ROOT / target)
        moved = posixpath.relpath(page, posixpath.dirname(self.page) or ".")
        return urlunsplit(("", "", moved, parts.query, parts.fragment))


class LinksExtension(Extension):
    processor = Links()

    def extendMarkdown(self, md: Markdown) -> None:
        md.treeprocessors.register(self.processor, "repository", 1)  # before MkDocs' own, which checks and resolves


LINKS = LinksExtension()
