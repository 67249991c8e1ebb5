"""Whether the tests of pages can fail."""

from browser_kit import PHONE, faults

PAGE = "<!doctype html><meta name=viewport content='width=device-width'><title>a</title>{}"


def shown(browser, tmp_path, body):
    path = tmp_path / "page.html"
    path.write_text(PAGE.format(body))
    return faults(browser.open(path, PHONE))


def test_a_good_page_has_no_fault(browser, tmp_path):
    wide = "<div style='overflow-x:auto'><p style='width:900px'>scrolls by itself</div>"
    assert shown(browser, tmp_path, f"<p>text{wide}") == []


def test_faults_of_a_page_are_found(browser, tmp_path):
    for body, expected in (
        ("<p style='width:900px'>wide", "too wide: P"),
        ("<img src='none.png'>", "image not loaded"),
        ("<script>console.error('oh')</script>", "console: oh"),
        ("<script>nothing()</script>", "error: nothing is not defined"),
        ("<link rel=stylesheet href='https://example.org/a.css'>", "asks for https://example.org"),
    ):
        found = shown(browser, tmp_path, body)
        assert any(expected in line for line in found), (body, found)
