"""The numbers that the notebooks of the built book glued, against claims.yml."""

import pytest
from bs4 import BeautifulSoup

from book_tools.build import claim_outcomes
from book_tools.claims_table import describe

pytestmark = pytest.mark.book


@pytest.fixture(scope="module")
def outcomes(book, profile):
    return claim_outcomes(book, profile)


def test_there_are_claims(outcomes):
    assert outcomes, "claims.yml is empty: the book would prove nothing"


def test_every_claim_holds(outcomes):
    failed = [describe(outcome) for outcome in outcomes if outcome.failed]
    assert not failed, "\n" + "\n".join(failed)


def test_the_introduction_shows_how_every_claim_fares(book, outcomes):
    page = (book.html / "book" / "intro.html").read_text(encoding="utf-8")
    tables = BeautifulSoup(page, "html.parser").find_all("table")
    shown = [
        [cell.get_text().strip() for cell in row.find_all("td")]
        for table in tables
        if table.find("th").get_text().strip() == "claim"
        for row in table.select("tbody tr")
    ]
    assert [cells[3] for cells in shown] == [outcome.verdict.value for outcome in outcomes]
