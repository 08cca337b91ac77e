"""Look inside, as a person uses it."""

from person import draw, drawing, wait_until
from playwright.sync_api import Page, expect

from atelier import MODELS


def figure(page: Page, name: str):
    found = page.locator(f".st-key-{name} .figure")
    found.locator(".main-svg").first.wait_for()
    found.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    return found


def title(page: Page, name: str) -> str:
    return figure(page, name).evaluate("plot => plot.layout.title.text")


def look(page: Page, view: str) -> None:
    page.locator(".st-key-view").get_by_role("radio", name=view).click()


def test_a_drawn_digit_is_looked_into(page):
    draw(page, drawing("a1", 4))
    page.get_by_role("link", name="Look inside").click()
    for name in MODELS:
        expect(page.locator(f".st-key-evidence_{name}")).to_contain_text("4, ", timeout=30_000)
        expect(page.locator(f".st-key-evidence_{name} img")).to_be_visible()

    look(page, "Vision Transformer")
    looks = figure(page, "inside_looks")
    before, box = title(page, "inside_looks"), looks.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.5)
    wait_until(page, lambda: title(page, "inside_looks") != before or "patch" in looks.get_attribute("aria-label"))
    assert "patch" in looks.get_attribute("aria-label")
    page.get_by_role("combobox", name="Head").click()
    page.get_by_role("option", name="3").click()
    wait_until(page, lambda: "head 3" in looks.get_attribute("aria-label"))

    look(page, "Faster R-CNN")
    for step in range(1, 8):
        expect(page.get_by_role("heading", name=f"{step}. ")).to_be_visible()
        page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="8. ")).to_be_visible()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    assert page.get_by_text("Traceback").count() == 0
