"""What the viewer's server answers, whom it refuses, and the list of what is marked as bad."""

import json
import threading
from types import SimpleNamespace

import archive_kit
import numpy as np
import pytest
import viewer_kit as kit
from hypothesis import given, settings
from hypothesis import strategies as st
from viewer_kit import ask, request

from posepile.errors import UsageError
from posepile.joint_info import JointInfo
from posepile.merging.filters import Filters, keep
from posepile.store.datasets import Pose3DDataset
from posepile.store.example_list import ExampleList
from posepile.viewer.browsing import Browsed, rank_of
from posepile.viewer.marks import Marks


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("viewer")


@pytest.fixture(scope="module")
def dataset(root):
    import os

    before, os.environ["DATA_ROOT"] = os.environ.get("DATA_ROOT"), str(root)
    made = kit.make_dataset(root)
    assert len(made.examples[0][0].bbox) == 4  # opened below this DATA_ROOT
    yield made
    os.environ.pop("DATA_ROOT")
    if before is not None:
        os.environ["DATA_ROOT"] = before


@pytest.fixture(autouse=True)
def _below(root, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(root))


@pytest.fixture
def server(dataset, tmp_path):
    with kit.serving(dataset, tmp_path / "toy_exclusions.txt") as made:
        yield made


# ---------------------------------------------------------------- looking


def test_facts_of_the_dataset(server):
    about = ask(server, "about")
    assert about["splits"] == {"train": 80, "val": 0, "test": 8} and about["name"] == "toy"
    assert about["has"] == {"mask": True, "valid": False}
    assert about["joints"] == list(archive_kit.JOINTS.names) and about["up"] == [0, 0, 1]


def test_pages_hold_what_meets_the_filters(server):
    page = ask(server, "page", split="train", subject="bert", view="1", n=5, **{"from": 10})
    assert page["total"] == 20 and page["from"] == 10 and len(page["items"]) == 5
    assert [item["position"] for item in page["items"]] == list(range(70, 75))
    item = page["items"][0]
    assert item["path"] == "toy_downscaled/s3/0010.jpg" and item["rank"] == 10
    assert item["size"] == [24, 16] and item["box"] == [2, 2, 12, 11] and len(item["joints"]) <= 5
    for query, total in (
        ({"subject": "*"}, 80),
        ({"subject": "[ab]nna"}, 20 * 2),
        ({"subject": "nobody"}, 0),
        ({"activity_name": "walking", "subject": "anna"}, 20),
        ({"path": "s3/00"}, 20),
        ({"path": "3/001"}, 10),
        ({"path": "0019.jpg"}, 4),
        ({"path": "downscaled/s"}, 80),
        ({"path": "s1/0003.jpg"}, 1),
        ({"path": "\ud800"}, 0),
    ):
        found = ask(server, "page", split="train", **_utf8(query))["total"]
        assert found == total, (query, found)
    assert ask(server, "page", split="train", **{"from": 10**9})["items"] == []


def _utf8(query):
    return {k: v.encode("utf-8", "surrogatepass") for k, v in query.items()}


def test_columns_are_counted_under_the_other_filters(server):
    facets = ask(server, "facets", split="train", subject="anna")["facets"]
    values = {facet["name"]: dict(map(tuple, facet["values"])) for facet in facets}
    assert values["subject"] == {"anna": 40, "bert": 40}
    assert values["view"] == {"0": 20, "1": 20} and values["activity_name"]["walking"] == 20
    assert "dataset" not in values  # one alone


def test_suspects_come_worst_first_and_once(server):
    page = ask(server, "page", split="train", quality="any")
    assert [item["position"] for item in page["items"]] == [31, 4, 70]
    assert page["items"][0]["odd"] == ["odd_bone", "swapped_sides"]
    page = ask(server, "page", split="train", quality="swapped_sides")
    assert [item["position"] for item in page["items"]] == [4, 31]
    page = ask(server, "page", split="train", quality="any", subject="bert")
    assert [item["position"] for item in page["items"]] == [70]
    assert "expected any" in ask(server, "page", 400, split="train", quality="nice")["error"]
    second = ask(server, "example", split="train", quality="any", rank=1)
    assert second["position"] == 4 and second["rank"] == 1 and second["odd"][0]["score"] == 2


@pytest.mark.parametrize(
    "query",
    [{}, {"quality": "any"}, {"quality": "odd_bone", "subject": "anna"}, {"view": "1"}],
)
def test_every_count_is_what_choosing_it_shows(server, query):
    found = ask(server, "facets", split="train", **query)
    counts = [(f["name"], value, n) for f in found["facets"] for value, n in f["values"]]
    kinds = [(one["kind"], one["count"]) for one in found["quality"]["kinds"]]
    assert len(kinds) == 2 and len(counts) >= 3
    kinds.append(("any", found["quality"]["total"]))
    assert ask(server, "quality", split="train", **query) == found["quality"]
    for name, value, n in counts + [("quality", kind, n) for kind, n in kinds]:
        total = ask(server, "page", split="train", **{**query, name: value, "n": 0})["total"]
        assert total == n, (name, value)


def test_one_example(server, dataset):
    shown = ask(server, "example", split="train", rank=3)
    example = dataset.examples[0][3]
    assert shown["path"] == example.image_path and shown["facts"]["subject"] == "anna"
    pose = np.array(shown["pose"])
    numbers = pose[:, 0].astype(int)
    np.testing.assert_array_equal(numbers, [0, 2, 3, 4])  # joint 1 is missing
    np.testing.assert_allclose(pose[:, 1:], example.world_coords[numbers], atol=0.06)
    camera = shown["camera"]
    there = pose[:, 1:] - camera["position"]
    seen = there @ np.reshape(camera["rotation"], (3, 3)).T
    pixels = (seen / seen[:, 2:]) @ np.reshape(camera["intrinsics"], (3, 3)).T
    drawn = {j: at for j, *at in shown["joints"]}
    assert list(drawn) == numbers.tolist()
    np.testing.assert_allclose(list(drawn.values()), pixels[:, :2], atol=0.02)


def test_an_outline_of_a_mask_is_the_mask(server, dataset):
    import rlemasklib

    example = dataset.examples[0][3]
    mask = np.zeros((16, 24), np.uint8)
    mask[4:12, 5:20] = 1
    mask[6:9, 8:12] = 0  # a hole
    example = example.load()
    example.mask = rlemasklib.encode(mask)
    from posepile.viewer.scene import scene_of

    outlines = scene_of(example)["mask"]["outlines"]
    corners = [{(x, y) for x in xs for y in ys} for xs, ys in (((4.5, 19.5), (3.5, 11.5)),)]
    corners.append({(x, y) for x in (7.5, 11.5) for y in (5.5, 8.5)})
    assert [len(outline) for outline in outlines] == [8, 8]
    assert [set(zip(o[::2], o[1::2], strict=True)) for o in outlines] == corners


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**49 - 1))
def test_outlines_enclose_exactly_the_pixels_of_a_mask(height, width, bits):
    import rlemasklib

    from posepile.viewer.scene import _outlines

    mask = np.array([bits >> i & 1 for i in range(height * width)], np.uint8)
    mask = np.asfortranarray(mask.reshape(height, width))
    shown = _outlines(SimpleNamespace(mask=rlemasklib.encode(mask)))
    assert shown["size"] == [width, height]
    inside = np.zeros((height, width), int)  # edges that are crossed from a pixel to the left
    for outline in shown["outlines"]:
        ends = np.reshape(outline, (-1, 2))
        for (x, y), (there, below) in zip(ends, np.roll(ends, -1, 0), strict=True):
            assert (x == there) != (y == below)
            low, high = sorted((y, below))
            inside[int(low + 0.5) : int(high + 0.5), int(x + 0.5) :] += 1
    np.testing.assert_array_equal(inside % 2, mask)


def test_examples_are_found_by_path_in_any_split(server, dataset):
    for i, name in enumerate(kit.ODD):
        shown = ask(server, "example", split="train", image=name)
        assert (shown["split"], shown["path"]) == ("test", name)
        assert shown["position"] == dataset.examples[2].column("image_path").tolist().index(
            name
        ), i
    both = "toy_downscaled/s9/0000.jpg"
    found = [ask(server, "example", image=both, person=p)["facts"]["person"] for p in (0, 1, 7)]
    assert found == [0, 1, 0]
    for path in (
        "",
        "nothing",
        "../toy.barecat",
        "toy_downscaled",
        "\0",
        "\ud800",
        "metadata.msgpack",
    ):
        asked = _utf8({"image": path})
        assert "no such image path" in ask(server, "example", 400, split="train", **asked)["error"]
    outside = ask(server, "example", split="train", image="toy_downscaled/s0/0003.jpg", view="1")
    assert outside["rank"] is None and outside["total"] == 40


def test_views_of_an_instant_belong_together(server):
    items = ask(server, "together", split="train", position=45)["items"]
    assert [(item["position"], item["view"]) for item in items] == [(45, "0"), (65, "1")]
    both = ask(server, "together", split="test", position=0)["items"]
    assert [item["person"] for item in both] == [0, 1]


def test_pictures_are_those_that_are_stored(server, dataset):
    for kind in ("image", "thumb"):
        status, headers, data = request(server, "GET", f"/{kind}/train/7?t=x")
        assert status == 200 and headers["Content-Type"] == "image/jpeg"
        assert data == archive_kit.jpeg(7) and headers["X-Content-Type-Options"] == "nosniff"
    for path in (
        "train/80",
        "train/-1",
        "nowhere/0",
        "train",
        "train/1e3",
        "../x",
        "train/%2e%2e",
    ):
        assert request(server, "GET", f"/image/{path}")[0] in (400, 404), path


def test_examples_in_memory_and_mixed_lists(dataset, tmp_path):
    loaded = [dataset.examples[0][i].load() for i in (5, 2)]
    mixed = ExampleList()
    mixed.extend(dataset.examples[0][70:72])
    mixed.extend(loaded)
    own = Pose3DDataset(dataset.joint_info, mixed, [], loaded, compute_bone_lengths=False)
    with kit.serving(own, tmp_path / "x.txt", quality=kit.Known({})) as server:
        page = ask(server, "page", split="train", subject="anna")
        assert [item["position"] for item in page["items"]] == [2, 3]
        shown = ask(server, "example", split="train", image="toy_downscaled/s0/0002.jpg")
        assert shown["position"] == 3
        assert request(server, "GET", "/image/train/3")[2][:2] == b"\xff\xd8"
        assert ask(server, "page", split="train", path="s0/0005")["total"] == 1


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=8, unique=True), st.integers(0, 9))
def test_ranks_are_places(positions, wanted):
    expected = positions.index(wanted) if wanted in positions else None
    assert rank_of(np.array(positions, int), wanted) == expected


@settings(deadline=None)
@given(st.text(alphabet="s0123/.jpg_d", max_size=8))
def test_a_part_of_a_path_is_found_like_python_does(dataset, text):
    browsed = Browsed(dataset.examples[0])
    paths = dataset.examples[0].column("image_path").tolist()
    expected = [i for i, path in enumerate(paths) if text in path]
    assert list(browsed.select({"path": text})) == expected


# ---------------------------------------------------------------- guarding


def test_only_this_machine_is_served(server):
    assert server.server_address[0] == "127.0.0.1"
    port = server.server_address[1]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example", "", "[::1]:80"):
        for path in ("/", "/api/about", "/image/train/0", "/main.js"):
            status, _, data = request(server, "GET", path, Host=host)
            assert status == 403 and b"toy" not in data
    for host in (f"localhost:{port}", "127.0.0.1", "localhost:9999"):  # forwarded by ssh
        assert request(server, "GET", "/api/about", Host=host)[0] == 200
    for headers in ({"Origin": "https://evil.example"}, {"Sec_Fetch_Site": "cross-site"}):
        assert request(server, "GET", "/api/about", **headers)[0] == 403


def test_nothing_but_the_page_is_served(server, root):
    for path in (
        "/../posepile/config.py",
        "/..%2f..%2fetc/passwd",
        "/page/index.html",
        "/main.js/../serving.py",
        "//etc/passwd",
        "/api/mark",
        "/api/_split",
        "/api/picture",
        "/api/__init__",
        "/serving.py",
        "/image/train/../../x",
        "http://evil.example/",
    ):
        status, _, data = request(server, "GET", path)
        assert status in (400, 404) or path.startswith("http"), path
        assert b"root:" not in data and b"import" not in data
    for method in ("PUT", "DELETE", "OPTIONS"):
        assert request(server, method, "/api/about")[0] == 501


def test_the_page_allows_nothing_from_elsewhere(server):
    status, headers, data = request(server, "GET", "/")
    policy = headers["Content-Security-Policy"]
    assert status == 200 and "default-src 'none'" in policy and "unsafe" not in policy
    assert headers["X-Frame-Options"] == "DENY" and server.token.encode() in data
    assert b"{{" not in data and b"style=" not in data and b"onclick" not in data


def test_names_cannot_be_markup(dataset, tmp_path):
    with kit.serving(dataset, tmp_path / "x.txt", name="<script>x</script>") as server:
        data = request(server, "GET", "/")[2]
    assert b"<script>x" not in data and b"&lt;script&gt;x" in data


def post(server, value, token=None, **headers):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    token = server.token if token is None else token
    status, _, data = request(server, "POST", "/api/mark", body, X_Token=token, **headers)
    return status, json.loads(data)


def test_marks_need_the_token_of_the_page(server, tmp_path):
    value = {"path": "toy_downscaled/s0/0003.jpg", "reason": "", "on": True}
    for token in ("", "x", server.token[:-1], server.token + "x", "é"):
        status, said = post(server, value, token.encode().decode("latin-1"))
        assert status == 403 and "reload the page" in said["error"]
    assert post(server, value, Origin="https://evil.example")[0] == 403
    assert post(server, value, Host="evil.example")[0] == 403
    for wrong in (
        b"",
        b"[",
        b"[]",
        b"[" * 50_000,
        b"{}",
        {**value, "on": 1},
        {**value, "path": 3},
    ):
        assert post(server, wrong)[0] == 400
    assert post(server, {**value, "path": "nothing"})[0] == 400
    assert request(server, "POST", "/api/mark", b"x" * 70_000, X_Token=server.token)[0] == 413
    assert (
        request(server, "POST", "/api/mark", b"", X_Token=server.token, Content_Length="-1")[0]
        == 413
    )
    assert not (tmp_path / "toy_exclusions.txt").exists()
    assert post(server, value)[0] == 200
    assert (tmp_path / "toy_exclusions.txt").read_text().splitlines()[1:] == [value["path"]]


# ---------------------------------------------------------------- marking


def test_marked_examples_are_those_that_a_mix_leaves_out(server, dataset, tmp_path):
    chosen = ["toy_downscaled/s0/0003.jpg", *kit.ODD]
    for path in chosen:
        status, said = post(server, {"path": path, "reason": "left\nand # right", "on": True})
        assert status == 200 and said["marked"] == "left\\nand # right"
    kept, _ = keep(
        dataset.examples[2],
        dataset.joint_info,
        Filters(exclusions=tmp_path / "toy_exclusions.txt"),
    )
    assert set(dataset.examples[2][~kept].column("image_path")) == set(kit.ODD)
    page = ask(server, "page", split="test", marked="yes")
    assert {item["path"] for item in page["items"]} == set(kit.ODD)
    assert ask(server, "page", split="train", marked="no")["total"] == 79
    assert "expected yes" in ask(server, "page", 400, split="train", marked="x")["error"]
    for path in chosen:
        assert post(server, {"path": path, "on": False})[1]["marked"] is None
    assert ask(server, "page", split="test", marked="yes")["total"] == 0


def test_lines_of_others_stay(server, tmp_path):
    file = tmp_path / "toy_exclusions.txt"
    file.write_text("# mine\ntoy_downscaled/s1/*  # all of it\n\ntoy_downscaled/s0/0001.jpg\n")
    assert ask(server, "page", split="train", marked="yes")["total"] == 21
    shown = ask(server, "example", split="train", image="toy_downscaled/s1/0004.jpg")
    assert shown["marked"] == "all of it"
    status, said = post(server, {"path": "toy_downscaled/s1/0004.jpg", "on": False})
    assert status == 400 and "'toy_downscaled/s1/*' covers" in said["error"]
    post(server, {"path": "toy_downscaled/s0/0002.jpg", "reason": "dark", "on": True})
    post(server, {"path": "toy_downscaled/s0/0001.jpg", "on": False})
    assert file.read_text().splitlines() == [
        "# mine",
        "toy_downscaled/s1/*  # all of it",
        "",
        "toy_downscaled/s0/0002.jpg  # dark",
    ]


def test_two_viewers_write_one_file(tmp_path):
    file = tmp_path / "x.txt"
    viewers = [Marks(file), Marks(file)]

    def work(k):
        for i in range(20):
            viewers[k].mark(f"{k}/{i}.jpg", "why")

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(file.read_text().splitlines()) == 41
    assert viewers[0].reason_of("1/19.jpg") == "why" == viewers[1].reason_of("0/19.jpg")


def test_files_that_are_none_are_said(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        Marks(tmp_path / "binary").reason_of("a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="folder"):
        Marks(tmp_path / "folder").reason_of("a")
    with pytest.raises(UsageError, match="names another file"):
        Marks(tmp_path / "binary" / "x").mark("a")


AWKWARD = st.text(st.one_of(st.sampled_from("a# *?[]\n\t\u2028\ufeff\x1c!-"), st.characters()))


@settings(max_examples=15, deadline=None)
@given(AWKWARD.filter(bool), st.text(max_size=12))
def test_any_path_can_be_marked(tmp_path_factory, path, reason):
    marks = Marks(tmp_path_factory.mktemp("marks") / "x.txt")
    marks.mark(path, reason)
    assert marks.reason_of(path) is not None
    assert marks.reason_of(path + "x") is None
    assert len(marks.path.read_text().splitlines()) == 2
    marks.unmark(path)
    assert marks.reason_of(path) is None


def test_skeletons_without_edges_or_sides(tmp_path, monkeypatch):
    """Nothing that the page draws needs more than joints."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    joints = JointInfo("a,b,c,d,e", "")
    empty = Pose3DDataset(joints, [], [], [], compute_bone_lengths=False)
    with kit.serving(empty, tmp_path / "x.txt", quality=kit.Known({})) as server:
        assert ask(server, "about")["edges"] == []
        assert ask(server, "page")["total"] == 0 and ask(server, "facets")["facets"] == []
        assert "no example" in ask(server, "example", 400, rank=0)["error"]
