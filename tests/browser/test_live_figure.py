"""A figure that changes while somebody looks at it, in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import plotly
import pytest
from playwright.sync_api import Page, expect

from tests.support.person import wait_until
from tests.support.server import serve

PLOTLY_JS = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


@pytest.fixture(scope="module")
def figures_app(tmp_path_factory) -> Iterator[str]:
    script = Path(__file__).parent / "live_figure_app.py"
    yield from (server.address for server in serve(script, tmp_path_factory.mktemp("server")))


@pytest.fixture
def figures(browser, figures_app) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000}, color_scheme="light")
    page = context.new_page()
    page.asked, page.received = [], []  # addresses; bytes of each message
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: page.received.append(len(frame))))
    page.goto(figures_app)
    wait_for_figures(page)
    yield page
    context.close()


def wait_for_figures(page: Page) -> None:
    for key in ("curve", "heatmap", "image"):
        page.locator(f".st-key-{key} .nsewdrag").wait_for()


def plot(page: Page, expression: str, key: str = "curve"):
    """The value of a JavaScript expression of the figure's element, `plot`."""
    return page.locator(f".st-key-{key} .figure").evaluate(f"plot => {expression}")


def updates(page: Page) -> int:
    return int(page.get_by_text("Updates:").inner_text().split()[-1])


def wait_for_five_updates(page: Page) -> None:
    before = updates(page)
    wait_until(page, lambda: updates(page) >= before + 5)


def drag(page: Page, share: float, steps: int = 5, pause: int = 0) -> None:
    """Zoom into the middle `share` of the curve."""
    box = page.locator(".st-key-curve .nsewdrag").bounding_box()
    at = [(box["x"] + box["width"] * (0.5 + side), box["y"] + box["height"] * 0.5) for side in (-share / 2, share / 2)]
    page.mouse.move(*at[0])
    page.mouse.down()
    for step in range(1, steps + 1):
        page.mouse.move(at[0][0] + (at[1][0] - at[0][0]) * step / steps, at[0][1])
        page.wait_for_timeout(pause)
    page.mouse.up()
    page.wait_for_timeout(100)


def test_zoom_and_element_survive_updates(figures):
    plot(figures, "plot.marked = true")
    drag(figures, 0.4)
    zoomed, points = plot(figures, "plot._fullLayout.xaxis.range"), plot(figures, "plot._fullData[0].x.length")
    assert 0 < zoomed[0] < zoomed[1] < points
    wait_for_five_updates(figures)
    wait_until(figures, lambda: plot(figures, "plot._fullData[0].x.length") >= points + 5)
    assert plot(figures, "plot._fullLayout.xaxis.range") == zoomed
    assert plot(figures, "plot.marked")
    figures.locator(".st-key-curve .nsewdrag").dblclick()
    wait_until(figures, lambda: plot(figures, "plot._fullLayout.xaxis.range[1]") > zoomed[1])


def test_updates_do_not_disturb_a_slow_hand(figures):
    before, (_, end) = updates(figures), plot(figures, "plot._fullLayout.xaxis.range")
    drag(figures, 0.4, steps=20, pause=100)
    assert updates(figures) >= before + 5
    assert plot(figures, "plot._fullLayout.xaxis.range") == pytest.approx([0.3 * end, 0.7 * end], rel=0.1)
    points = plot(figures, "plot._fullData[0].x.length")
    wait_until(figures, lambda: plot(figures, "plot._fullData[0].x.length") > points)  # and afterwards it goes on


def test_what_is_hidden_in_the_legend_stays_hidden(figures):
    figures.locator(".st-key-curve .legendtoggle").nth(1).click()
    wait_until(figures, lambda: plot(figures, "plot._fullData[1].visible") == "legendonly")
    wait_for_five_updates(figures)
    assert plot(figures, "plot._fullData[1].visible") == "legendonly"
    assert plot(figures, "plot._fullData[0].visible")


@pytest.mark.parametrize("key", ["heatmap", "image"])
def test_a_click_on_a_cell_reaches_python(figures, key):
    box = figures.locator(f".st-key-{key} .nsewdrag").bounding_box()
    figures.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 0.25 * box["height"])
    row, corner = (1, "bottom right") if key == "heatmap" else (0, "top right")  # the y axis of a heatmap goes up
    expected = {"x": 1, "y": row, "curve": 0, "point": [row, 1], "customdata": corner}
    expect(figures.get_by_text(f"Clicked: {expected}")).to_be_visible()


def test_plotly_js_is_sent_once_and_nothing_comes_from_elsewhere(figures, figures_app):
    figures.wait_for_timeout(500)
    figures.received.clear()
    wait_for_five_updates(figures)
    assert 0 < sum(figures.received) < PLOTLY_JS.stat().st_size / 20
    assert sum("plotly.min.js" in url for url in figures.asked) == 1  # for three figures
    host = figures_app.removeprefix("http://")
    assert [url for url in figures.asked if host not in url and not url.startswith(("data:", "blob:"))] == []


def test_what_did_not_arrive_is_said(figures):
    figures.route("**/plotly.min.js", lambda route: route.abort())
    figures.reload()
    expect(figures.get_by_text("Reload the page")).to_have_count(3)


def test_a_figure_that_leaves_is_purged_and_can_come_back(figures):
    figures.evaluate("window.old = document.querySelector('.st-key-curve .figure')")
    assert figures.evaluate("'_fullLayout' in window.old")
    figures.get_by_text("Show").click()
    expect(figures.locator(".figure")).to_have_count(0)
    wait_until(figures, lambda: not figures.evaluate("'_fullLayout' in window.old"))
    figures.get_by_text("Show").click()
    figures.locator(".st-key-curve .nsewdrag").wait_for()
    assert sum("plotly.min.js" in url for url in figures.asked) == 1


def test_a_figure_has_the_theme_the_width_and_an_alternative_text(figures):
    def letters() -> str:
        return figures.locator(".st-key-curve .xtick text").first.evaluate("text => text.style.fill")

    assert letters() == "rgb(18, 32, 46)"  # config.toml's
    figures.emulate_media(color_scheme="dark")
    wait_until(figures, lambda: letters() == "rgb(242, 246, 250)")
    figures.set_viewport_size({"width": 390, "height": 800})
    wait_until(figures, lambda: plot(figures, "plot._fullLayout.width") < 390)
    assert figures.get_by_role("img", name="A curve that grows").count() == 1
