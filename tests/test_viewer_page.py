"""The viewer's page in a browser: everything that a person does with it."""

import os
import struct

import cv2
import numpy as np
import pytest
import viewer_kit as kit
from browser_kit import DESKTOP, PHONE, faults
from viewer_kit import ask

from posepile.imaging import jpeg
from posepile.viewer.serving import link_to


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A viewer, and its list of exclusions."""
    root = tmp_path_factory.mktemp("viewer_page")
    before, os.environ["DATA_ROOT"] = os.environ.get("DATA_ROOT"), str(root)
    dataset = kit.make_dataset(root, 30)
    with kit.serving(dataset, root / "toy_exclusions.txt") as server:
        yield server, root / "toy_exclusions.txt"
    os.environ.pop("DATA_ROOT")
    if before is not None:
        os.environ["DATA_ROOT"] = before


@pytest.fixture(autouse=True)
def _below(served, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(served[1].parent))


def many(browser, server, size=DESKTOP, end="", **options):
    page = browser.open(server.url + end, size, **options)
    page.wait_for_selector("#tiles .tile svg")
    page.wait_for_selector('[data-filter="marked"]', state="attached")
    return page


def one(browser, server, path, size=DESKTOP, split="train", more=""):
    page = browser.open(f"{server.url}#/toy/{split}/{path}{more}", size)
    page.wait_for_selector("#frame svg")
    return page


def seen_faults(page):
    """What is wrong with the page once all pictures are there."""
    until(page, "[...document.images].every(i => i.complete && i.naturalWidth)")
    return faults(page)


def path_of(page):
    return page.inner_text("#path")


def until(page, condition):
    """Waits for what the page says; its policy forbids Playwright's own way to."""
    for _ in range(600):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    pytest.fail(f"not seen: {condition}")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("color", ["light", "dark"])
def test_nothing_is_cut_off_or_complained_of(browser, served, size, color):
    page = many(browser, served[0], size, color_scheme=color)
    assert seen_faults(page) == []
    assert page.locator("#tiles .tile").count() == (48 if size == DESKTOP else 24)
    page.click("#tiles .tile >> nth=3")
    page.wait_for_selector("#frame svg .joint", state="attached")
    until(page, "document.querySelectorAll('#together img').length === 2")
    assert seen_faults(page) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if color == "light" else "rgb(22, 24, 27)"
    )


def test_keys_go_from_example_to_example(browser, served):
    page = many(browser, served[0])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(page, "document.getElementById('path').textContent.endsWith('s0/0001.jpg')")
    for key, expected in (
        ("ArrowRight", "s0/0002.jpg"),
        ("ArrowLeft", "s0/0001.jpg"),
        ("End", "s3/0029.jpg"),
        ("Home", "s0/0000.jpg"),
    ):
        page.keyboard.press(key)
        until(page, f"document.getElementById('path').textContent.endsWith('{expected}')")
        assert page.url.endswith(expected)
    page.keyboard.press("ArrowLeft")  # there is none before the first
    assert page.inner_text("#notice") == "this is the first"
    page.keyboard.press("Escape")
    page.wait_for_selector("#tiles .tile")
    page.keyboard.press("PageDown")
    until(page, "document.getElementById('shown').textContent.includes('48–95 of 120')")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert seen_faults(page) == []


def test_jumps_by_number_path_and_part_of_a_path(browser, served):
    page = many(browser, served[0])

    def jump(text):
        page.keyboard.press("/")
        page.keyboard.type(text)
        page.keyboard.press("Enter")

    jump("64")
    until(page, "document.querySelector('#facts td')?.textContent === 'train 64'")
    assert path_of(page) == "toy_downscaled/s2/0004.jpg"
    jump("toy_downscaled/s1/0007.jpg")
    until(page, "document.querySelector('#facts td').textContent === 'train 37'")
    jump("0013.jpg")
    until(page, "document.getElementById('shown').textContent.startsWith('1–4 of 4 found')")
    jump("9999")
    until(page, "!document.getElementById('notice').hidden")
    assert "example 9999: train has 120" in page.inner_text("#notice")
    assert page.locator("#many").is_visible() and not page.locator("#one").is_visible()


def test_links_stay_and_names_are_text(browser, served):
    server, _ = served
    for name in kit.ODD[:4]:
        page = browser.open(link_to(server.url, "toy", "train", name))
        page.wait_for_selector("#frame svg .joint", state="attached")
        assert path_of(page) == name.replace("\u202e", "\\u{202e}")
        assert page.evaluate("decodeURIComponent(location.hash)") == f"#/toy/test/{name}"
        assert seen_faults(page) == []
    page = many(browser, server, end="#/toy/test")
    assert page.locator("#tiles .tile").count() == 8 and seen_faults(page) == []
    second = one(browser, server, "toy_downscaled/s9/0000.jpg", split="test", more="?person=1")
    until(second, "document.querySelectorAll('#together .tile').length === 2")
    assert "person 1" in second.inner_text("#together .own")
    assert "person\t1" in second.inner_text("#facts")


def test_a_link_of_another_dataset_says_the_command(browser, served):
    page = browser.open(f"{served[0].url}#/h36m/train/S1/a b'c.jpg")
    page.wait_for_selector("#other pre")
    assert page.inner_text("#other pre") == """posepile view h36m 'S1/a b'"'"'c.jpg'"""
    assert "This viewer shows toy" in page.inner_text("#other")
    assert not page.locator("#many").is_visible() and faults(page) == []
    page.click("#other a")
    page.wait_for_selector("#tiles .tile svg")
    assert not page.locator("#other").is_visible()


def test_a_link_to_nothing_is_said(browser, served):
    page = browser.open(f"{served[0].url}#/toy/train/none.jpg")
    until(page, "document.getElementById('notice').textContent.includes('no such image path')")


def test_filters_choose_and_are_part_of_the_link(browser, served):
    page = many(browser, served[0])
    page.select_option('[data-filter="subject"]', "bert")
    until(page, "document.getElementById('shown').textContent.includes('of 60 found')")
    until(page, "document.querySelector('.set [data-filter=subject]')")
    page.select_option('[data-filter="view"]', "1")
    until(page, "document.getElementById('shown').textContent.includes('of 30 found')")
    assert page.url.endswith("#/toy/train?subject=bert&view=1")
    page.click("#tiles .tile >> nth=29")
    page.wait_for_selector("#frame svg")
    until(page, "document.getElementById('next').disabled")
    page.go_back()
    page.wait_for_selector("#tiles .tile")
    again = many(browser, served[0], end=page.url.split("/", 3)[3])
    assert "of 30 found" in again.inner_text("#shown")
    again.click("#clear")
    until(again, "document.getElementById('shown').textContent.includes('of 120 in train')")
    assert seen_faults(again) == []


def test_suspects_are_shown_worst_first(browser, served):
    page = many(browser, served[0])
    page.keyboard.press("w")
    until(page, "document.getElementById('shown').textContent.includes('1–3 of 3 found')")
    shown = page.locator("#tiles .tile").evaluate_all("t => t.map(e => e.dataset.position)")
    assert shown == ["31", "4", "70"]
    until(page, "document.querySelector('.set [data-filter=quality]')")
    assert "all kinds (3)" in page.inner_text('[data-filter="quality"]')
    assert "bert (1)" in page.inner_text('[data-filter="subject"]')
    page.click("#tiles .tile >> nth=0")
    page.wait_for_selector("#frame svg")
    assert page.inner_text("#odd") == "odd_bone: 12 mm · swapped_sides: 12 mm"
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('#facts td').textContent === 'train 4'")


def test_layers_are_drawn_and_taken_away(browser, served):
    page = one(browser, served[0], "toy_downscaled/s0/0001.jpg")
    drawn = """() => [...document.querySelectorAll('#frame svg path, #frame svg text')]
        .map(e => e.classList[e.classList[0] === 'wide' ? 1 : 0] || e.tagName)"""
    before = set(page.evaluate(drawn))
    assert {"box", "mask", "joint"} <= before
    for key, what in (("b", "box"), ("m", "mask"), ("j", "joint")):
        page.keyboard.press(key)
        assert what not in page.evaluate(drawn)
        page.keyboard.press(key)
        assert what in page.evaluate(drawn)
    page.keyboard.press("n")
    assert "text" in page.evaluate(drawn)
    page.keyboard.press("n")
    # The picture of 24 x 16 pixels is drawn where the overlay says that it is.
    places = page.evaluate(
        """() => { const svg = document.querySelector('#frame svg');
        const box = svg.querySelector('.box');
        const m = svg.getScreenCTM(), b = box.getBoundingClientRect(),
        f = document.getElementById('picture').getBoundingClientRect();
        return {scale: m.a, left: b.left, corner: m.e + 2 * m.a,
                picture: f.left + (f.width - 24 * m.a) / 2, zero: m.e - 0.5 * m.a}; }"""
    )
    assert abs(places["left"] - places["corner"]) < 1.5
    assert abs(places["picture"] - places["zero"]) < 1.5


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_pictures_are_shown_as_they_are_stored(browser, served, monkeypatch, orientation):
    """What cameras note on which way is up does not turn them away from what is drawn on them."""
    server, _ = served
    image = np.zeros((16, 24, 3), np.uint8)
    image[:, :12] = 255  # bright on the left
    data = jpeg.encode(image)
    tag = struct.pack(">HHIHHI", 0x0112, 3, 1, orientation, 0, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + tag
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]
    assert jpeg.read_orientation(data) == orientation
    monkeypatch.setattr(server.answers, "picture", lambda *asked: ("image/jpeg", data))
    page = many(browser, server)
    assert _halves(page, "#tiles .tile .fit >> nth=1") == ["bright", "dark"]
    page.click("#tiles .tile >> nth=1")
    page.wait_for_selector("#frame svg .joint", state="attached")
    until(page, "document.querySelectorAll('#together img').length === 2")
    assert seen_faults(page) == []
    assert page.evaluate("document.querySelector('#frame svg').viewBox.baseVal.width") == 24
    assert _halves(page, "#frame") == ["bright", "dark"]
    assert _halves(page, "#together .fit >> nth=0") == ["bright", "dark"]


def _halves(page, selector):
    """How bright the left and the right of a picture of 24 x 16 pixels are, without overlays."""
    until(page, "[...document.images].every(i => i.complete && i.naturalWidth)")
    page.evaluate("document.querySelectorAll('svg').forEach(e => e.remove())")
    data = np.frombuffer(page.locator(selector).screenshot(), np.uint8)
    seen = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
    height, width = seen.shape
    side = round(9 * min(width / 24, height / 16))
    found = [int(seen[height // 2, width // 2 + d]) for d in (-side, side)]
    return ["bright" if v > 200 else "dark" if v < 60 else str(v) for v in found]


def test_the_pose_can_be_turned_and_seen_as_by_its_camera(browser, served):
    page = one(browser, served[0], "toy_downscaled/s0/0001.jpg")
    until(page, "document.querySelectorAll('#together .tile').length === 2")

    def look():
        return page.evaluate("document.getElementById('space').toDataURL()")

    seen = [look()]
    for key in ("c", "p", "o"):
        page.keyboard.press(key)
        seen.append(look())
    assert seen[0] == seen[2] and len(set(seen)) == 3
    page.keyboard.press("p")
    box = page.locator("#space").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 80, y + 20)
    page.mouse.up()
    assert look() != seen[0] and seen_faults(page) == []


def test_bad_examples_are_listed(browser, served):
    server, exclusions = served
    page = one(browser, server, "toy_downscaled/s0/0004.jpg")
    page.keyboard.press("x")
    page.wait_for_selector("#why")
    assert exclusions.read_text().splitlines()[1:] == [
        "toy_downscaled/s0/0004.jpg  # swapped_sides: 12 mm"
    ]
    page.fill("#reason", "blurred")
    page.keyboard.press("Enter")
    until(page, "document.activeElement.id !== 'reason'")
    for _ in range(600):
        if "blurred" in exclusions.read_text():
            break
        page.wait_for_timeout(25)
    assert exclusions.read_text().splitlines()[1:] == ["toy_downscaled/s0/0004.jpg  # blurred"]
    assert ask(server, "page", split="train", marked="yes")["total"] == 1
    page.reload()
    page.wait_for_selector("#why")
    assert page.input_value("#reason") == "blurred"
    page.keyboard.press("x")
    page.wait_for_selector("#why", state="hidden")
    assert exclusions.read_text().splitlines()[1:] == ["# toy_downscaled/s0/0004.jpg  # blurred"]
    assert ask(server, "page", split="train", marked="yes")["total"] == 0
    assert seen_faults(page) == []


def test_a_server_that_was_ended_or_started_again_is_said(browser, served):
    server, _ = served
    page = one(browser, server, "toy_downscaled/s0/0002.jpg")
    old, server.token = server.token, "another"
    page.keyboard.press("x")
    until(page, "document.getElementById('notice').textContent.includes('reload the page')")
    server.token = old
    page.route("**/api/**", lambda route: route.abort())
    page.keyboard.press("End")
    until(page, "document.getElementById('notice').textContent.includes('start it again')")


def test_layers_that_no_example_has_are_said_to_be_missing(browser, served, monkeypatch):
    server, _ = served
    monkeypatch.setitem(server.answers._has, "mask", False)
    page = many(browser, server)
    button = page.locator('[data-layer="mask"]')
    assert button.is_disabled() and button.get_attribute("aria-pressed") == "false"
    assert button.get_attribute("title") == "no masks in this set"
    assert "mask" not in page.text_content("#legend")
    page.keyboard.press("m")
    assert "no masks in this set" in page.inner_text("#notice")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_small_things_of_the_page(browser, served, size):
    server, _ = served
    page = many(browser, server, size)
    assert "0 · 1" in page.locator("#tiles .tile .what").nth(1).inner_text()
    top = "e => e.getBoundingClientRect().top"
    if size is DESKTOP:
        assert page.locator("#help").evaluate(top) < page.locator("#layers").evaluate(
            "e => e.getBoundingClientRect().bottom"
        )
    page.click("#help")
    heading = page.locator("#keys h2").evaluate(top)
    assert heading >= page.locator("#keys").evaluate(top) >= 0
