"""The numbers glued by the notebooks of the built book, compared with claims.yml."""

import pytest
from bs4 import BeautifulSoup

from book_tools.build import claim_outcomes
from book_tools.claims_table import HEADING, describe

pytestmark = pytest.mark.book


@pytest.fixture(scope="module")
def outcomes(book, profile):
    return claim_outcomes(book, profile)


def test_there_are_claims(outcomes):
    assert outcomes, "claims.yml is empty: the book would prove nothing"


def test_every_claim_holds(outcomes):
    failed = [describe(outcome) for outcome in outcomes if outcome.failed]
    assert not failed, "\n" + "\n".join(failed)


def verdicts(soup):
    """What the tables of claims of a page say, in its order."""
    return [
        row.find_all("td")[3].get_text().strip()
        for table in soup.find_all("table")
        if table.find("th").get_text().strip() == "claim"
        for row in table.select("tbody tr")
    ]


def test_every_page_ends_with_its_claims_and_the_introduction_has_them_all_folded(book, outcomes):
    shown = {
        page: BeautifulSoup((book.html / f"{page}.html").read_text("utf-8"), "html.parser")
        for page in book.pages()
    }
    front = shown.pop("book/intro")
    expected = {page: [o.verdict.value for o in outcomes if o.claim.page == page] for page in shown}
    assert {page: verdicts(soup) for page, soup in shown.items()} == expected
    for page, soup in shown.items():
        if expected[page]:
            assert HEADING in soup.select("article h2")[-1].get_text()
    assert verdicts(front) == [verdict for page in shown for verdict in expected[page]]
    for table in front.find_all("table"):
        if table.find("th").get_text().strip() == "claim":
            assert table.find_parent("details") is not None
