"""A figure that updates while somebody uses it."""

import json
from collections.abc import Iterator
from pathlib import Path

import plotly
import pytest
from playwright.sync_api import Page, expect

from tests.support.person import drag, wait_until
from tests.support.server import APPS, serve

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


@pytest.fixture(scope="module")
def figures_app(tmp_path_factory) -> Iterator[str]:
    with serve(APPS / "live_figure_app.py", tmp_path_factory.mktemp("server")) as server:
        yield server.address


@pytest.fixture
def figures(browser, figures_app) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light").new_page()
    page.requested, page.received = [], []  # URLs; bytes of each message
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: page.received.append(len(frame))))
    page.goto(figures_app)
    for key in ("curve", "heatmap", "image"):
        page.locator(f".st-key-{key} .nsewdrag").wait_for()
    return page


def plot(page: Page, expression: str, key: str = "curve"):
    """The value of a JavaScript expression of the figure's element, `plot`."""
    return page.locator(f".st-key-{key} .figure").evaluate(f"plot => {expression}")


def updates(page: Page) -> int:
    return int(page.locator(".st-key-updates_shown").inner_text())


def wait_for_five_updates(page: Page) -> None:
    before = updates(page)
    wait_until(page, lambda: updates(page) >= before + 5)


def middle(page: Page, share: float, steps: int) -> list[tuple[float, float]]:
    """Points along the middle `share` of the curve's width."""
    box = page.locator(".st-key-curve .nsewdrag").bounding_box()
    y = box["y"] + box["height"] / 2
    return [(box["x"] + box["width"] * (0.5 + share * (i / steps - 0.5)), y) for i in range(steps + 1)]


def test_click_on_a_cell_reaches_python(figures):
    clicked = figures.locator(".st-key-clicked_shown")
    # The y axis of a heatmap goes up, that of an image goes down.
    for key, row, corner in (("heatmap", 1, "bottom right"), ("image", 0, "top right")):
        box = figures.locator(f".st-key-{key} .nsewdrag").bounding_box()
        figures.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
        expected = {"x": 1, "y": row, "curve": 0, "point": [row, 1], "customdata": corner}
        wait_until(figures, lambda expected=expected: json.loads(clicked.inner_text()) == expected, seconds=10)


def test_zoom_and_element_survive_updates(figures):
    plot(figures, "plot.marked = true")
    drag(figures, middle(figures, 0.4, 5))
    figures.wait_for_timeout(100)
    zoomed, points = plot(figures, "plot._fullLayout.xaxis.range"), plot(figures, "plot._fullData[0].x.length")
    assert 0 < zoomed[0] < zoomed[1] < points
    wait_until(figures, lambda: plot(figures, "plot._fullData[0].x.length") >= points + 5)
    assert plot(figures, "plot._fullLayout.xaxis.range") == zoomed
    assert plot(figures, "plot.marked")
    figures.locator(".st-key-curve .nsewdrag").dblclick()
    wait_until(figures, lambda: plot(figures, "plot._fullLayout.xaxis.range[1]") > zoomed[1])


@pytest.mark.slow
def test_hidden_trace_stays_hidden(figures):
    figures.locator(".st-key-curve .legendtoggle").nth(1).click()
    wait_until(figures, lambda: plot(figures, "plot._fullData[1].visible") == "legendonly")
    wait_for_five_updates(figures)
    assert plot(figures, "plot._fullData[1].visible") == "legendonly"
    assert plot(figures, "plot._fullData[0].visible")


@pytest.mark.slow
def test_plotly_is_loaded_once_and_from_this_host(figures, figures_app):
    figures.wait_for_timeout(500)
    figures.received.clear()
    wait_for_five_updates(figures)
    assert 0 < sum(figures.received) < PLOTLY_JS.stat().st_size / 20
    assert sum("plotly.min.js" in url for url in figures.requested) == 1  # for three figures
    assert [url for url in figures.requested if not url.startswith((figures_app, "data:", "blob:"))] == []


@pytest.mark.slow
def test_removed_figure_is_purged_and_can_return(figures):
    figures.evaluate("window.old = document.querySelector('.st-key-curve .figure')")
    assert figures.evaluate("'_fullLayout' in window.old")
    figures.locator(".st-key-figures label").click()
    expect(figures.locator(".figure")).to_have_count(0)
    wait_until(figures, lambda: not figures.evaluate("'_fullLayout' in window.old"))
    figures.locator(".st-key-figures label").click()
    figures.locator(".st-key-curve .nsewdrag").wait_for()
    assert sum("plotly.min.js" in url for url in figures.requested) == 1


@pytest.mark.slow
def test_figure_follows_theme_and_width(figures):
    def letters() -> str:
        return figures.locator(".st-key-curve .xtick text").first.evaluate("text => text.style.fill")

    assert letters() == "rgb(18, 32, 46)"  # config.toml's
    figures.emulate_media(color_scheme="dark")
    wait_until(figures, lambda: letters() == "rgb(242, 246, 250)")
    figures.set_viewport_size({"width": 390, "height": 800})
    wait_until(figures, lambda: plot(figures, "plot._fullLayout.width") < 390)
    assert plot(figures, "plot.ariaLabel") == "A curve that grows"


@pytest.mark.slow
def test_updates_do_not_disturb_a_slow_zoom(figures):
    before, (_, end) = updates(figures), plot(figures, "plot._fullLayout.xaxis.range")
    start, *rest = middle(figures, 0.4, 20)
    figures.mouse.move(*start)
    figures.mouse.down()
    for point in rest:
        figures.mouse.move(*point)
        figures.wait_for_timeout(100)
    figures.mouse.up()
    figures.wait_for_timeout(100)
    assert updates(figures) >= before + 5
    assert plot(figures, "plot._fullLayout.xaxis.range") == pytest.approx([0.3 * end, 0.7 * end], rel=0.1)
    points = plot(figures, "plot._fullData[0].x.length")
    wait_until(figures, lambda: plot(figures, "plot._fullData[0].x.length") > points)  # updates go on


@pytest.mark.slow
def test_missing_plotly_is_reported_in_each_figure(figures):
    figures.route("**/plotly.min.js", lambda route: route.abort())
    figures.reload()
    for key in ("curve", "heatmap", "image"):
        expect(figures.locator(f".st-key-{key} .figure")).to_contain_text("Reload the page")
