"""The documentation is a site: it builds without a warning, has every public name, and loads nothing from elsewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import hopslite
from tests.helpers import ROOT

pytestmark = pytest.mark.slow("documentation")  # `make docs` builds it in CI

DOCS = ROOT / "docs"
# Of these elements a browser fetches what the attribute names; an <a> it does not.
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
NOT_FETCHED = {"canonical", "prev", "next", "edit", "alternate"}  # of links in a page's head
PLAIN_MARKDOWN = re.compile(r"^ *(\||[-*] |\d+\. |```)", re.MULTILINE)
ELSEWHERE = re.compile(r"(?:https?:)?//")
MERMAID = "assets/javascripts/mermaid.min.js"
STYLE_FETCHES = re.compile(r"(?:@import\s+|url\(\s*)[\"']?((?:https?:)?//[^\"')\s]*)")


class Built(HTMLParser):
    """What the tests want to know of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.paragraphs: list[str] = []
        self._inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._inside.append(tag)
        if tag == "p":
            self.paragraphs.append("")
        if given.get("id"):
            self.ids.add(given["id"] or "")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        url = given.get(FETCHED.get(tag, ""))
        if url and not NOT_FETCHED & set((given.get("rel") or "").split()):
            self.fetched.append(url)

    def handle_endtag(self, tag: str) -> None:
        while tag in self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._inside and "p" in self._inside and "code" not in self._inside:
            self.paragraphs[-1] += data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it: `mkdocs.yml` says that a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Built]:
    return {str(path.relative_to(site)): Built(path.read_text()) for path in sorted(site.rglob("*.html"))}


def navigation() -> list[str]:
    """The pages that `mkdocs.yml` names, in order."""
    text = (ROOT / "mkdocs.yml").read_text()
    section = re.search(r"^nav:\n((?: .*\n)+)", text, re.MULTILINE)
    assert section
    return re.findall(r"(\S+)\.md$", section[1], re.MULTILINE)


def modules() -> list[str]:
    """The public modules: those of `hopslite.__all__`, and what has a page beside them."""
    public = {name for name in hopslite.__all__ if (ROOT / "hopslite" / name).is_dir()}
    public |= {name for name in hopslite.__all__ if (ROOT / "hopslite" / f"{name}.py").exists()}
    return sorted(public | {path.stem for path in (DOCS / "reference").glob("*.md")} - {"hopslite", "index"})


def names_of(module: str) -> list[str]:
    """`__all__`, read and not imported: nothing heavy is loaded for that."""
    paths = (ROOT / "hopslite" / f"{module}.py", ROOT / "hopslite" / module / "__init__.py")
    tree = ast.parse(next(path for path in paths if path.exists()).read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"hopslite.{module} has no __all__")


def test_every_page_of_the_navigation_is_there(pages: dict[str, Built]) -> None:
    named = navigation()
    assert len(named) > 30
    assert [page for page in named if f"{page.replace('README', 'index')}.html" not in pages] == []
    assert len(set(named)) == len(named)


def test_every_document_is_in_the_navigation() -> None:
    documents = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}
    assert documents - set(navigation()) == set()


def test_every_public_name_is_in_the_reference(pages: dict[str, Built]) -> None:
    missing = []
    for module in modules():
        ids = pages[f"reference/{module}.html"].ids if f"reference/{module}.html" in pages else set()
        missing += [name for name in (f"hopslite.{module}", *(f"hopslite.{module}.{n}" for n in names_of(module)))
                    if name not in ids]  # fmt: skip
    own = set(hopslite.__all__) - set(modules())
    assert own == {"inputs", "report"}
    missing += [name for name in own if f"hopslite.{name}" not in pages["reference/hopslite.html"].ids]
    assert missing == []


def test_links_within_the_site_lead_somewhere(site: Path, pages: dict[str, Built]) -> None:
    """MkDocs looks at what is Markdown; this also at what templates and the reference have made."""
    broken = []
    for name, page in pages.items():
        if name == "404.html":
            continue
        for link in page.links:
            if re.match(r"[a-z][a-z+.-]*:|//", link):
                continue
            path, _, anchor = link.partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
            there = pages.get(target)
            if (anchor and there and anchor not in there.ids) or not (site / target).is_file():
                broken.append(f"{name}: {link}")
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Built]) -> None:
    fetched = {f"{name}: {url}" for name, page in pages.items() for url in page.fetched if ELSEWHERE.match(url)}
    for style in site.rglob("*.css"):
        fetched |= {f"{style.name}: {url}" for url in STYLE_FETCHES.findall(style.read_text())}
    for path in site.rglob("*.html"):
        text = path.read_text()
        fetched |= set(STYLE_FETCHES.findall(text))
        # for these the theme's script would fetch something: a repository's stars, and Mermaid where it is not here
        fetching = 'data-md-component="source"' if MERMAID in text else 'class="mermaid|data-md-component="source"'
        fetched |= {f"{path.name}: {attribute}" for attribute in re.findall(fetching, text)}
    assert fetched == set()


def test_tables_and_lists_are_rendered(pages: dict[str, Built]) -> None:
    """The repository's view takes a table or a list right after a line of text for one; MkDocs takes it for text."""
    plain = [f"{name}: {text[:80]!r}" for name, page in pages.items() for text in page.paragraphs
             if PLAIN_MARKDOWN.search(text)]  # fmt: skip
    assert plain == []


def test_blocks_of_other_libraries_are_marked() -> None:
    """Every Python block of these pages runs, as `test_readme` does it, except the programs as they were before."""
    for page, library in (("hyperopt", "hyperopt"), ("ray-tune", "ray")):
        text = (DOCS / f"{page}.md").read_text()
        marked = re.findall(r"(<!-- not run -->\n)?```python\n(.*?)```", text, re.DOTALL)
        before_and_after = [True, False] * (len(marked) // 2)
        assert marked and [bool(mark) for mark, _ in marked] == before_and_after
        assert [f"from {library} import" in code for _, code in marked] == before_and_after
