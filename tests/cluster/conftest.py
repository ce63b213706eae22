"""Fixtures of tests in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.conftest import where_available
from tests.helpers.browser import SECONDS, chromium, keep

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with where_available(chromium()) as started:
        yield started


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Of a browser in which nothing has been chosen, closed or remembered, but for MLflow's assistant.

    That opens at the first visit, over a third of the page.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(SECONDS * 1000)
    context.add_init_script("localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true')")
    opened = context.new_page()
    yield opened
    keep(opened, f"last-{request.node.name}")
    context.close()
