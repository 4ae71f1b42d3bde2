"""A browser, and the page of the cases in it."""

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.leaderboard.command import write
from tests.benchmarks.leaderboard.cases import BOXES, EVIL, reference, repository, result, zoo

# CI's cores have other things to do, too.
expect.set_options(timeout=30_000)


@pytest.fixture(scope='module')
def browser() -> Iterator[Browser]:
    path = shutil.which('chromium')
    if path is None:
        pytest.fail('chromium is missing: apt-get install --no-install-recommends chromium (Debian, Ubuntu)')
    with sync_playwright() as playwright:
        # Its sandbox refuses to be started by root.
        flags = ['--no-sandbox'] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@pytest.fixture(scope='module')
def address(tmp_path_factory) -> str:
    models = zoo()
    models[3]['Results'][0]['Source'] = f'{EVIL} https://example.org/a?b=1'
    results = dict(
        mine=result(seeds=[0, 1], spread=dict.fromkeys(BOXES, 0.4), cost={'infer_ms': 12.5}, command=EVIL),
        other=result(config='mask-rcnn_hiremlp-slim_digits', metrics=dict(BOXES, **{'box AP': 72.0})),
    )
    root = repository(tmp_path_factory.mktemp('page'), models, [reference()], **results)
    write(root, root / 'docs/board', [])
    return (root / 'docs/board/index.html').as_uri()


@pytest.fixture
def visit(browser, address) -> Iterator[Callable[..., Page]]:
    """Opens the page, or another; whatever a test does there, no error and no request may come of it."""
    contexts, faults = [], []

    def visit(hash: str = '', url: str = address, **settings: object) -> Page:
        context = browser.new_context(**{'viewport': {'width': 1280, 'height': 900}, **settings})
        contexts.append(context)
        page = context.new_page()
        page.on('console', lambda message: faults.append(message.text))
        page.on('pageerror', lambda error: faults.append(str(error)))
        page.on('request', lambda request: request.url.split('#')[0] == url or faults.append(request.url))
        page.goto(url + hash)
        return page

    yield visit
    for context in contexts:
        for page in context.pages:
            assert page.evaluate('window.planted') is None
        context.close()
    assert faults == []
