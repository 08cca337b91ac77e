"""What a study says of its method is what it does."""

import pytest

from atelier.studies import STUDIES, data_hunger, one_or_many


@pytest.mark.parametrize(
    ("name", "counted"), [("transfer", "size"), ("robustness", "digits"), ("one_or_many", "scenes")]
)
def test_the_method_tells_the_numbers_of_both_versions(name, counted):
    study = STUDIES[name]
    whole, quick = ({point[counted] for point in study.points(quick)} for quick in (False, True))
    for number in whole:
        assert f" {number:,} " in study.method
    for number in quick - whole:
        assert f"(quick: {number:,})" in study.method


def test_shares_that_are_told_in_words():
    assert (data_hunger.WHOLE.preset, data_hunger.WHOLE.share) == ("full", 1 / 10)
    assert (data_hunger.QUICK.preset, data_hunger.QUICK.share) == ("demo", 1 / 4)
    assert "a tenth of the steps of its full recipe (quick: a quarter of its demo)" in STUDIES["data_hunger"].method
    assert one_or_many.WORTH == 5 / 100
    assert "at least five more of a hundred" in STUDIES["one_or_many"].question
