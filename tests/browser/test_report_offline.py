"""The report in a browser without a network, as a teacher opens it."""

import pandas as pd

from atelier import MODELS, report
from atelier.studies.results import Result
from tests.support.made_results import provenance


def test_report_opens_and_draws_without_a_network(browser, tmp_path):
    rows = [(name, size, "demo", 9, 0.9) for name in MODELS for size in (100, 1_000)]
    table = pd.DataFrame(rows, columns=["network", "size", "preset", "epochs", "accuracy"])
    file = tmp_path / "report.html"
    file.write_text(report.to_html({"data_hunger": {"shipped": Result(table, provenance("data_hunger"), {})}}))
    page, problems, requested = browser.new_context(offline=True).new_page(), [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(file.as_uri())
    page.locator("figure .main-svg").first.wait_for()
    assert page.locator("figure .scatterlayer .trace").count() == len(MODELS)
    assert not problems
    assert requested == [file.as_uri()]
