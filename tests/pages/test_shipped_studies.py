"""Every study as it ships, on Home and on Compare."""

import re

import pytest

from atelier.studies import STUDIES, results
from atelier.studies.conclusions import CONCLUSIONS

STUDIED = [name for name in STUDIES if name != "leaderboard"]  # which is a view of its own


@pytest.mark.parametrize("name", STUDIED)
def test_each_study_is_revealed(app, name):
    study, result = STUDIES[name], results.shipped(name)
    findings = study.findings(result.table)
    app.switch_page("pages/compare.py")
    app.run()
    app.segmented_control(key="view").set_value("Studies").run()
    app.segmented_control(key="study").set_value(name).run()
    assert study.question in [title.value for title in app.subheader]
    for answer in {findings.right, (findings.right + 1) % len(study.answers)}:
        app.button_group(key=f"compare_expects_{name}").set_value(answer).run()
        assert not app.exception
        (verdict,) = app.success if answer == findings.right else app.info
        assert study.answers[findings.right] in verdict.value
        assert any(" ".join(findings.sentences) == text.value for text in app.markdown)
        assert any(code.value == result.header["command"] for code in app.code)
        assert len(app.dataframe[0].value) == len(result.table)


def test_each_conclusion_on_home_has_a_verdict_bars_and_what_was_found(app, text):
    app.run()
    assert not app.exception
    for conclusion in CONCLUSIONS:
        shown, result = text(app, f"conclusion_{conclusion.study}"), results.shipped(conclusion.study)
        verdict = conclusion.verdict(result)
        assert ("The numbers say so, too" if verdict.holds else "The numbers say otherwise") in shown
        assert verdict.why in shown
        for sentence in STUDIES[conclusion.study].findings(result.table).sentences:
            assert sentence in shown
        for what, lines in conclusion.bars(result.table).items():
            assert re.sub(r"\s+", " ", what) in shown
            assert all(bar.name in shown and bar.number in shown for bar in lines)
