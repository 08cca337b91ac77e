"""Compare, as a person uses it, with the results that ship."""

import re

import pytest
from playwright.sync_api import Page, expect

import atelier
from atelier import MODELS
from atelier.data import mnist
from atelier.studies import STUDIES, results
from tests.support.person import fits, wait_until


@pytest.fixture
def compare(browser, app):
    """`compare(view)`: that view in a window of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)

    def open_view(view: str = "leaderboard", study: str = "") -> Page:
        page = context.new_page()
        page.goto(f"{app}/compare?view={view}&study={study}")
        return page

    yield open_view
    context.close()


def drawn(page: Page, key: str):
    figure = page.locator(f".st-key-{key} .figure")
    figure.locator(".main-svg").first.wait_for(timeout=60_000)
    figure.scroll_into_view_if_needed()
    return figure


def click_cell(page: Page, network: str, true: int, guess: int) -> None:
    """The middle of a cell of a confusion matrix."""
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
    """The networks of the leaderboard from top to bottom, as the table tells those who cannot see it."""
    cells = page.locator(".st-key-compare_board canvas table tbody tr td:first-of-type")
    return [text.strip() for text in cells.all_text_contents()]


def test_the_leaderboard_is_sorted_by_a_click(compare):
    page = compare()
    table = page.locator(".st-key-compare_board canvas").first
    table.wait_for(timeout=60_000)
    wait_until(page, lambda: len(rows(page)) >= len(MODELS))
    shipped = results.shipped("leaderboard").table
    accuracy = {MODELS[row.network].title: row.accuracy for row in shipped.itertuples()}  # two may be the same
    for order in (sorted(accuracy.values()), sorted(accuracy.values(), reverse=True)):
        box = table.bounding_box()
        page.mouse.click(box["x"] + 190, box["y"] + 20)  # the column "Accuracy"
        wait_until(page, lambda order=order: [accuracy.get(title) for title in rows(page)][: len(order)] == order)
    assert fits(page)


def test_a_cell_of_a_confusion_matrix_shows_its_digits_and_one_opens_in_look_inside(compare):
    page = compare("failures")
    click_cell(page, "vit", 4, 4)
    digits = page.locator(".st-key-compare_cell_digits .figure")
    wait_until(page, lambda: (digits.get_attribute("aria-label") or "").startswith("Digits 4 "))
    drawn(page, "compare_cell_digits")
    page.wait_for_timeout(1000)
    box = digits.bounding_box()
    page.mouse.click(box["x"] + 40, box["y"] + 110)  # the first
    page.wait_for_url("**/inside**", timeout=60_000)
    expect(page.get_by_text("of MNIST's 10,000 test digits")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("True label: 4")).to_be_visible()
    for name in MODELS:
        expect(page.locator(f".st-key-evidence_{name} img")).to_be_visible(timeout=60_000)


def test_on_a_phone_in_the_dark_all_views_fit_and_digits_are_shown_page_by_page(browser, app):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    page.goto(f"{app}/compare?view=failures")
    title = drawn(page, "compare_reliability").locator(".gtitle")
    colour = title.evaluate("title => getComputedStyle(title).fill")
    assert min(map(int, re.findall(r"\d+", colour))) > 200  # can be read on a dark ground
    page.locator(".st-key-compare_right").get_by_role("radio").nth(4).click()
    expect(page.get_by_text("digits, 1 to 24 shown").first).to_be_visible()
    sheet = drawn(page, "compare_right_digits").locator("image").first
    before = sheet.get_attribute("href")
    page.locator("[class*=st-key-compare_right_digits_page]").get_by_role("button", name="Page 2").click()
    expect(page.get_by_text("digits, 25 to 48 shown")).to_be_visible()
    wait_until(page, lambda: sheet.get_attribute("href") != before)
    assert fits(page)
    for view, part in ((0, ".st-key-compare_board canvas"), (2, "[class*=st-key-compare_expects]")):
        page.locator(".st-key-view").get_by_role("radio").nth(view).click()
        page.locator(part).first.wait_for(timeout=60_000)
        assert fits(page)
    context.close()


def test_a_prediction_reveals_what_was_measured(compare):
    study = next(study for name, study in STUDIES.items() if name == "robustness")
    page = compare("studies", study.name)
    expect(page.get_by_role("heading", name=study.question)).to_be_visible(timeout=60_000)
    page.wait_for_timeout(500)
    assert page.locator(".st-key-compare_robustness_shipped").count() == 0
    answer = study.findings(results.shipped(study.name).table).answer
    page.get_by_role("radio", name=study.answers[answer], exact=True).click()
    page.locator(".st-key-compare_as_expected").wait_for()
    drawn(page, "compare_robustness_shipped")
    assert fits(page)


def test_an_exported_network_is_downloaded_and_answers(compare, tmp_path):
    page = compare()
    page.locator(".st-key-compare_format").get_by_text("safetensors", exact=True).click(timeout=60_000)
    page.locator(".st-key-compare_start button").click()
    button = page.get_by_role("button", name="cnn.safetensors")
    button.wait_for(timeout=120_000)
    expect(page.locator(".st-key-compare_exported_files")).to_contain_text("cnn.safetensors")
    with page.expect_download() as download:
        button.click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    digits, labels = (of_all[:20] for of_all in mnist.load("test"))
    assert list(atelier.load(file, "cpu").predict(digits)) == list(labels)
    assert fits(page)


def test_the_report_is_one_file_that_opens_without_a_network(compare, browser, tmp_path):
    page = compare()
    page.locator(".st-key-compare_board canvas").first.wait_for(timeout=60_000)
    with page.expect_download(timeout=60_000) as download:
        page.locator(".st-key-compare_report button").first.click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    offline = browser.new_context(offline=True)
    opened = offline.new_page()
    opened.goto(file.as_uri())
    opened.locator(".main-svg").first.wait_for()
    for spec in MODELS.values():
        assert opened.get_by_text(spec.title).count()
    offline.close()
