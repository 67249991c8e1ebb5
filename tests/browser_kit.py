"""Pages in a browser without a window: what they ask for, complain of, and how wide they are.

Chromium is a program of the system (``chromium``, ``google-chrome``, or what ``CHROMIUM`` names);
Playwright, of the extra ``test``, drives it. Where either is missing, tests that need it skip.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Nothing but what the page itself asks for may go to the network.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP, PHONE = (1280, 900), (380, 800)

# What reaches beyond the right edge of the window; what scrolls in its own frame may be wider.
_TOO_WIDE = """() => {
  const width = document.documentElement.clientWidth, found = [];
  const scrolls = e => { for (e = e.parentElement; e; e = e.parentElement)
      if (/(auto|scroll|hidden)/.test(getComputedStyle(e).overflowX) && e !== document.body
          && e !== document.documentElement) return true; return false; };
  for (const e of document.body.querySelectorAll('*')) {
    const box = e.getBoundingClientRect();
    if (box.width && box.right > width + 1 && !scrolls(e))
      found.push(`${e.tagName} ${e.className} ${box.right.toFixed()} > ${width}`);
  }
  if (document.documentElement.scrollWidth > width + 1) found.push('the page scrolls sideways');
  return found.slice(0, 10);
}"""
_BROKEN = """() => [...document.images].filter(i => !(i.complete && i.naturalWidth))
  .map(i => (i.currentSrc || i.src || i.alt).slice(0, 200))"""


def chromium() -> str | None:
    """Path of a Chromium, None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One running Chromium; pages do not share anything.

    Args:
        browser: Playwright's browser.
    """

    def __init__(self, browser: Any):
        self.browser = browser
        self._contexts: list[Any] = []

    def open(self, url: str | Path, size: tuple[int, int] = DESKTOP, **options: Any) -> Any:
        """Opens a page; what it complains of is collected in ``page.problems``.

        A request to anything but a file or this machine is a problem and does not go out.

        Args:
            url: An address, or an HTML file.
            size: Width and height of the window, pixels.
            **options: For Playwright's ``new_context``, such as ``color_scheme="dark"``.
        """
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]}, **options
        )
        self._contexts.append(context)
        page = context.new_page()
        page.problems = problems = []

        def check(route):
            asked = route.request.url
            if asked.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
                route.continue_()
            else:
                problems.append(f"asks for {asked[:200]}")
                route.abort()

        page.route("**/*", check)
        page.on("console", lambda m: m.type == "error" and problems.append(f"console: {m.text}"))
        page.on("pageerror", lambda e: problems.append(f"error: {e}"))
        page.on(
            "response",
            lambda r: r.status >= 400 and problems.append(f"{r.status}: {r.url[:200]}"),
        )
        page.goto(url.resolve().as_uri() if isinstance(url, Path) else url)
        return page

    def close_pages(self) -> None:
        """Closes what was opened."""
        while self._contexts:
            self._contexts.pop().close()


def faults(page: Any) -> list[str]:
    """Everything that is wrong with how a page is shown: errors, images, what is cut off."""
    broken = [f"image not loaded: {name}" for name in page.evaluate(_BROKEN)]
    wide = [f"too wide: {what}" for what in page.evaluate(_TOO_WIDE)]
    return [*page.problems, *broken, *wide]


def start() -> Any:
    """Starts Playwright and Chromium; skips the test where there is none.

    Yields:
        The browser.
    """
    sync_api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    if path is None:
        pytest.skip(f"no Chromium: {', '.join(NAMES)}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield Browser(browser)
        browser.close()
