"""Experiments that test the lab report. STUDIES has them by name, in the order of the Compare page."""

from atelier.studies import cost, data_hunger, leaderboard, one_or_many, robustness, transfer
from atelier.studies.study import Study

STUDIES: dict[str, Study] = {
    module.STUDY.name: module.STUDY for module in (leaderboard, data_hunger, transfer, robustness, one_or_many, cost)
}
