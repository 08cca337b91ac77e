"""A study's method mentions the numbers that it uses."""

import pytest

from atelier.studies import STUDIES, data_hunger, one_or_many


@pytest.mark.parametrize(
    ("name", "counted"), [("transfer", "size"), ("robustness", "digits"), ("one_or_many", "scenes")]
)
def test_method_mentions_the_numbers_of_both_versions(name, counted):
    study = STUDIES[name]
    whole, quick = ({point[counted] for point in study.points(quick)} for quick in (False, True))
    for number in whole:
        assert f" {number:,} " in study.method
    for number in quick - whole:
        assert f"(quick: {number:,})" in study.method


def test_shares_in_words():
    assert (data_hunger.WHOLE.preset, data_hunger.WHOLE.share) == ("full", 1 / 10)
    assert (data_hunger.QUICK.preset, data_hunger.QUICK.share) == ("demo", 1 / 4)
    assert one_or_many.WORTH == 5 / 100
