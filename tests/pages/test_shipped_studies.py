"""Shipped results of every study, on Home and on Compare."""

import pytest

from atelier.studies import STUDIES, results
from atelier.studies.conclusions import CONCLUSIONS


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "leaderboard"])
def test_an_expectation_reveals_each_study(app, keys, name):
    study, result = STUDIES[name], results.shipped(name)
    answer = study.findings(result.table).answer
    app.switch_page("pages/compare.py")
    app.query_params.update(view="studies", study=name)
    app.run()
    assert not app.dataframe
    for expected in study.answers:
        app.button_group(key=f"compare_expects_{name}").set_value(expected).run()
        assert not app.exception
        outcome = "as_expected" if expected == answer else "otherwise"
        assert keys(app) & {"compare_as_expected", "compare_otherwise"} == {f"compare_{outcome}"}
    assert result.provenance.command in {code.value for code in app.code}
    assert len(app.dataframe[0].value) == len(result.table)


def test_each_conclusion_on_home_has_its_verdict(app, keys):
    app.run()
    assert not app.exception
    for conclusion in CONCLUSIONS:
        verdict = conclusion.judge(results.shipped(conclusion.study)).verdict
        assert f"verdict_{conclusion.study}_{verdict}" in keys(app)
