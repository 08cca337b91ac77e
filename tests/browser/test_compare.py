"""Compare, as a visitor uses it, with the shipped results."""

import re

import pytest
from playwright.sync_api import Page

import atelier
from atelier import MODELS
from atelier.data import mnist
from atelier.studies import STUDIES, results
from tests.support.person import button, failed, fits, press, wait_until

VIEWS = ("leaderboard", "failures", "studies")  # in the page's order


@pytest.fixture
def compare(window, app):
    """`compare(view)`: the page on that view."""

    def open_view(view: str = "leaderboard", study: str = "") -> Page:
        window.goto(f"{app}/compare?view={view}&study={study}")
        return window

    return open_view


def drawn(page: Page, key: str):
    figure = page.locator(f".st-key-{key} .figure")
    figure.locator(".main-svg").first.wait_for(timeout=60_000)
    figure.scroll_into_view_if_needed()
    return figure


def click_cell(page: Page, network: str, true: int, guess: int) -> None:
    """Click a cell of a confusion matrix."""
    figure = drawn(page, f"compare_confusion_{network}")
    page.wait_for_timeout(500)
    x, y = figure.evaluate(
        "(plot, [x, y]) => { const { xaxis, yaxis } = plot._fullLayout;"
        " return [xaxis._offset + xaxis.l2p(x), yaxis._offset + yaxis.l2p(y)] }",
        [guess, true],
    )
    box = figure.bounding_box()
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.mouse.click(box["x"] + x, box["y"] + y)


def rows(page: Page) -> list[str]:
    """The networks of the leaderboard from top to bottom."""
    cells = page.locator(".st-key-compare_board canvas table tbody tr td:first-of-type")
    return [text.strip() for text in cells.all_text_contents()]


def test_digit_of_a_confusion_matrix_opens_in_look_inside(compare):
    page = compare("failures")
    click_cell(page, "vit", 4, 4)
    digits = page.locator(".st-key-compare_cell_digits .figure")
    wait_until(page, lambda: (digits.get_attribute("aria-label") or "").startswith("Digits 4 "))
    drawn(page, "compare_cell_digits")
    page.wait_for_timeout(1000)
    box = digits.bounding_box()
    page.mouse.click(box["x"] + 40, box["y"] + 110)  # the first
    page.wait_for_url("**/inside**", timeout=60_000)
    source = page.locator(".st-key-digit_source")
    source.wait_for(timeout=60_000)
    assert re.search(r"number [\d,]+ of [\s\S]* 4\b", source.inner_text())
    for name in MODELS:
        page.locator(f".st-key-evidence_{name} img").wait_for(timeout=60_000)
    assert not failed(page)


@pytest.mark.slow
def test_leaderboard_is_sorted_by_a_click(compare):
    page = compare()
    table = page.locator(".st-key-compare_board canvas").first
    table.wait_for(timeout=60_000)
    wait_until(page, lambda: len(rows(page)) >= len(MODELS))
    shipped = results.shipped("leaderboard").table
    accuracy = {MODELS[row.network].title: row.accuracy for row in shipped.itertuples()}  # two may be equal
    for order in (sorted(accuracy.values()), sorted(accuracy.values(), reverse=True)):
        box = table.bounding_box()
        page.mouse.click(box["x"] + 190, box["y"] + 20)  # the column of accuracies
        wait_until(page, lambda order=order: [accuracy.get(title) for title in rows(page)][: len(order)] == order)
    assert fits(page)


@pytest.mark.slow
def test_all_views_fit_a_phone_in_the_dark(phone, app):
    phone.emulate_media(color_scheme="dark")
    phone.goto(f"{app}/compare?view=failures")
    title = drawn(phone, "compare_reliability").locator(".gtitle")
    colour = title.evaluate("title => getComputedStyle(title).fill")
    assert min(map(int, re.findall(r"\d+", colour))) > 200  # bright letters
    phone.locator(".st-key-compare_right [role=radio]").nth(4).click()
    sheet = drawn(phone, "compare_right_digits").locator("image").first
    before = sheet.get_attribute("href")
    phone.locator("[class*=st-key-compare_right_digits_page]").get_by_role(
        "button", name="2", exact=False
    ).first.click()
    wait_until(phone, lambda: sheet.get_attribute("href") != before)
    assert fits(phone)
    for view, part in (
        ("leaderboard", ".st-key-compare_board canvas"),
        ("studies", "[class*=st-key-compare_expects]"),
    ):
        phone.locator(".st-key-view [role=radio]").nth(VIEWS.index(view)).click()
        phone.locator(part).first.wait_for(timeout=60_000)
        assert fits(phone)


@pytest.mark.slow
def test_expectation_reveals_the_results(compare):
    study = STUDIES["robustness"]
    page = compare("studies", study.name)
    options = page.locator(f".st-key-compare_expects_{study.name} [role=radio]")
    options.first.wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    assert page.locator(".st-key-compare_robustness_shipped").count() == 0
    answer = study.findings(results.shipped(study.name).table).answer
    options.nth(list(study.answers).index(answer)).click()
    page.locator(".st-key-compare_as_expected").wait_for()
    drawn(page, "compare_robustness_shipped")
    assert fits(page)


@pytest.mark.slow
def test_exported_network_gives_the_same_answers(compare, tmp_path):
    page = compare()
    page.locator(".st-key-compare_format").get_by_text("safetensors", exact=True).click(timeout=60_000)
    press(page, "compare_start")
    link = button(page, "download_cnn-safetensors")
    link.wait_for(timeout=120_000)
    with page.expect_download() as download:
        link.click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    digits, _ = mnist.load("test")
    assert (atelier.load(file, "cpu").predict(digits[:100]) == atelier.load("cnn", "cpu").predict(digits[:100])).all()
    assert fits(page)


@pytest.mark.slow
def test_downloaded_report_opens_without_a_network(compare, browser, tmp_path):
    page = compare()
    page.locator(".st-key-compare_board canvas").first.wait_for(timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        button(page, "compare_report").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    opened = browser.new_context(offline=True).new_page()
    opened.goto(file.as_uri())
    opened.locator(".main-svg").first.wait_for()
    for spec in MODELS.values():
        assert opened.get_by_text(spec.title).count()
