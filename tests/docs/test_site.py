"""The site, read from a folder in a real browser: every page, at two widths, light and dark, without a network.

pytest -m browser tests/docs                                   builds the site first, lessons not executed
MINITORCH_CV_SITE=docs/_build/html pytest -m browser tests/docs      takes one that is built

The browser is Debian's Chromium (or what MINITORCH_CV_CHROMIUM names), driven by Playwright: the extra [browser].
"""

from __future__ import annotations

import html.parser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

pytestmark = [pytest.mark.checkout, pytest.mark.browser]

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("MINITORCH_CV_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
VIEWS = {"desktop, light": (1280, "light"), "phone, dark": (390, "dark")}
READY = "() => !window.MathJax || MathJax.startup?.promise !== undefined"


@pytest.fixture(scope="session")
def site(checkout: Path, tmp_path_factory) -> Path:
    """The folder of the built site."""
    if folder := os.environ.get("MINITORCH_CV_SITE"):
        return Path(folder).resolve()
    assert "PYTEST_XDIST_WORKER" not in os.environ, "workers would build the site at once: set MINITORCH_CV_SITE"
    pytest.importorskip("sphinx", reason="Sphinx is not installed; it comes with the extra [docs]")
    folder = tmp_path_factory.mktemp("site")
    environment = {name: value for name, value in os.environ.items() if name != "MINITORCH_CV_RUN_LESSONS"}
    command = [sys.executable, "-m", "sphinx", "-q", "-W", str(checkout / "docs"), str(folder)]
    built = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, check=False)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """Every page, as a path below the site."""
    found = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    return [page for page in found if not page.startswith("_static/")]


@pytest.fixture(scope="session")
def browser() -> Iterator:
    """Chromium, closed at the end."""
    if not CHROMIUM:
        pytest.skip(f"there is no Chromium: none of {', '.join(NAMES)} is on the path")
    reason = "Playwright is not installed; it comes with the extra [browser]"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser, width: int, scheme: str):
    """(a page of that width in that colour scheme, what went wrong in it so far)."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, wrong = context.new_page(), []
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(f"exception: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"not loaded: {request.url}"))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else wrong.append(f"asks for {r.url}"))
    return page, wrong


def load(page, url: str) -> None:
    """Opens a page and waits until its mathematics is there."""
    page.goto(url)
    page.wait_for_function(READY)
    page.evaluate("() => window.MathJax ? MathJax.startup.promise.then(() => null) : null")


# LaTeX, roles and fields that were not understood, and so stand there as they were written.
MARKUP = r"/\\[([]|\\(frac|sum|sqrt|mathrm|text)\b|:(math|ref|doc|param \w+|[A-Z][a-z]+):(?=[` ])|\{(doc|ref)\}/"
LOOK = """() => ({
    formulae: document.querySelectorAll("span.math, div.math").length,
    rendered: document.querySelectorAll("mjx-container").length,
    wrong: [...document.querySelectorAll("[data-mml-node=merror], .MathJax_Error")].map(e => e.textContent),
    raw: document.querySelector("article")?.innerText.match(MARKUP)?.[0] ?? "",
    images: [...document.images].filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
    width: document.documentElement.scrollWidth - window.innerWidth,
    title: document.title,
    theme: document.documentElement.dataset.theme,
})""".replace("MARKUP", MARKUP)


@pytest.mark.parametrize("view", VIEWS)
def test_every_page(browser, site, pages, view):
    """No errors, nothing asked of the network, mathematics and figures there, no wider than the screen."""
    width, scheme = VIEWS[view]
    page, wrong = opened(browser, width, scheme)
    complaints, formulae, images = [], 0, 0
    for name in pages:
        wrong.clear()
        load(page, (site / name).as_uri())
        for image in page.locator("img[loading=lazy]").all():
            image.scroll_into_view_if_needed()
        seen = page.evaluate(LOOK)
        formulae += seen["rendered"]
        images += page.locator("img").count()
        found = list(wrong)
        found += [f"mathematics: {error}" for error in seen["wrong"]]
        found += [f"{seen['formulae']} formulae, none rendered"] * (seen["formulae"] > seen["rendered"])
        if seen["raw"] and not shows_code(name):
            found.append(f"markup as text: {seen['raw']}")
        found += [f"figure: {image}" for image in seen["images"]]
        found += [f"{seen['width']} pixels too wide"] * (seen["width"] > 0)
        found += ["no title"] * (not seen["title"]) + [f"theme {seen['theme']}"] * (seen["theme"] != scheme)
        complaints += [f"{name}: {complaint}" for complaint in found]
    page.context.close()
    print(f"{len(pages)} pages, {formulae} formulae, {images} figures at {width} pixels, {scheme}")
    assert complaints == []
    assert len(pages) > 100 and formulae > 1000 and images > 0


def shows_code(page: str) -> bool:
    return page.startswith(("_modules/", "reference/kernels/", "reference/faults/", "lessons/", "exercises/"))


@pytest.mark.parametrize("view", VIEWS)
def test_search_finds_an_operation(browser, site, view):
    """Typed into the page's own field, and answered without a server."""
    page, wrong = opened(browser, *VIEWS[view])
    load(page, (site / "index.html").as_uri())
    page.locator("button.search-button:visible, button.search-button-field:visible").first.click()
    field = page.locator("#pst-search-dialog input[type=search], .search-button__search-container input").first
    field.fill("batch_norm")
    field.press("Enter")
    page.wait_for_url("**/search.html*")
    page.wait_for_selector("#search-results li a")
    page.wait_for_function("document.querySelector('#search-results').innerText.match(/\\d+ page|finished/i)")
    found = page.locator("#search-results li a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert any(link.startswith("reference/operations/batch_norm.html") for link in found), found
    assert any("minitorch_cv.ops.batch_norm" in link for link in found), found
    page.locator("#search-results li a[href*='minitorch_cv.ops.batch_norm']").first.click()
    page.wait_for_url("**/reference/operations/batch_norm.html*")
    assert page.locator("dt[id='minitorch_cv.ops.batch_norm']").is_visible()
    assert wrong == []
    page.context.close()


def test_light_and_dark_by_hand(browser, site):
    """The switch is there, works, and the choice is kept from page to page."""
    page, wrong = opened(browser, 1280, "light")
    load(page, (site / "index.html").as_uri())
    colour = lambda: page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = colour()
    page.locator("button.theme-switch-button:visible").first.click()
    page.locator("button[data-mode=dark]:visible").first.click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert colour() != light
    load(page, (site / "teachers.html").as_uri())
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert wrong == []
    page.context.close()


def test_a_wide_formula_can_be_read_on_a_phone(browser, site):
    """It scrolls within its line, from its left end."""
    page, _ = opened(browser, 390, "light")
    load(page, (site / "reference/operations/batch_norm.html").as_uri())
    page.wait_for_function("document.querySelectorAll('mjx-container.wide').length > 0")
    seen = "formulae => formulae.map(f => [f.scrollLeft, f.scrollWidth > f.clientWidth])"
    assert all(s == [0, True] for s in page.locator("mjx-container.wide").evaluate_all(seen))
    load(page, (site / "lessons/04_resnet.html").as_uri())
    scrolled = page.locator("div.math").evaluate_all(
        "all => all.map(e => [e.scrollLeft, e.scrollWidth - e.clientWidth])"
    )
    assert all(left == 0 for left, _ in scrolled) and any(more > 0 for _, more in scrolled)
    page.context.close()


# ---- what needs no browser


class Page(html.parser.HTMLParser):
    """The links of a page, and the places in it to which others may lead."""

    def __init__(self, text: str):
        super().__init__()
        self.links, self.places, self.sources = [], {"", "top"}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if "id" in given:
            self.places.add(given["id"])
        if tag == "a" and given.get("name"):
            self.places.add(given["name"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        self.sources += [
            given[name] for name in ("src", "href") if tag in ("script", "link", "img") and given.get(name)
        ]


@pytest.fixture(scope="session")
def parsed(site, pages) -> dict[str, Page]:
    return {name: Page((site / name).read_text(encoding="utf-8")) for name in pages}


def test_links_lead_somewhere(site, parsed):
    broken = []
    for name, page in parsed.items():
        for link in page.links:
            address, place = urldefrag(link)
            if re.match(r"[a-z]+:", address):
                continue
            target = (site / name).parent / unquote(address) if address else site / name
            if not target.resolve().is_file():
                broken.append(f"{name}: {link}")
            elif target.suffix == ".html":
                there = parsed.get(target.resolve().relative_to(site).as_posix())
                if there is not None and unquote(place) not in there.places:
                    broken.append(f"{name}: {link}")
    assert broken == []


def test_pages_are_made_of_what_lies_beside_them(parsed):
    """Scripts, styles and pictures have no address in a network, and neither have the styles' fonts."""
    outside = {f"{name}: {s}" for name, page in parsed.items() for s in page.sources if re.match(r"(https?:)?//", s)}
    assert outside == set()


def test_styles_ask_for_nothing(site):
    imports = re.compile(r"(?:@import|url\()\s*['\"]?((?:https?:)?//[^'\")\s]+)")
    asked = {f"{path.name}: {url}" for path in site.rglob("*.css") for url in imports.findall(path.read_text("utf-8"))}
    assert asked == set()


def test_operations_and_what_belongs_to_them_link_to_each_other(parsed):
    """From batch_norm to its lesson, kernels, faults, exercise and source; and from each of these back."""
    operation = "reference/operations/batch_norm.html"

    def leads(page: str, target: str) -> bool:
        here = Path(page).parent
        return any(os.path.normpath(here / urldefrag(link)[0]) == target for link in parsed[page].links if link)

    for target in (
        "lessons/04_resnet.html",
        "reference/kernels/batch_norm.html",
        "reference/faults/batch_norm.html",
        "exercises/batch_norm_line_by_line.html",
        "_modules/minitorch_cv/ops/_batch_norm.html",
    ):
        assert leads(operation, target), f"no link to {target}"
        assert leads(target, operation), f"no link back from {target}"
