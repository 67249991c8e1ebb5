"""The viewer over a made-up set, in Chromium without a window: seconds until something is seen.

    python benchmarks/viewer.py [--n 1000000] [--dir FOLDER] [--repeat 20] [--port 8799]

Times are from the key or click until the pictures and what is drawn over them are on the page, as
the page itself sees it; the server is a process of its own. The first page is that of a server
that has just been started. The baseline of each case is what must hold at the end: 1 s for the
first page, 0.2 s for a jump to any example, 0.5 s for a filter.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import synthetic

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import browser_kit

PART = 10_000
NAMES = r"(?P<subject>seq\d{4})(?P<view>\d)"

_HELP = """() => {
  window.seen = async (action, done) => {
    const start = performance.now();
    action();
    while (!done()) {
      if (performance.now() - start > 20000) throw new Error(`not seen: ${action}`);
      await new Promise(go => requestAnimationFrame(go));
    }
    return (performance.now() - start) / 1000;
  };
  window.whole = some => some.length > 0 && some.every(i => i.complete && i.naturalWidth);
  window.tiles = () => [...document.querySelectorAll('#tiles img')];
  window.one = () => document.querySelector('img#picture');
  window.choose = (name, value) => {
    const box = document.querySelector(`[data-filter="${name}"]`);
    box.value = value;
    box.dispatchEvent(new Event('change'));
  };
}"""
_MANY = """async ([name, value]) => {
  const before = document.querySelector('#tiles .tile');
  return seen(() => choose(name, value), () => {
    const now = document.querySelector('#tiles .tile');
    return now !== before && whole(tiles());
  });
}"""
_JUMP = """async n => {
  const box = document.getElementById('jump-to');
  const shown = () => document.querySelector('#facts td')?.textContent === `train ${n}`;
  return seen(() => {
    box.value = String(n);
    box.form.requestSubmit();
  }, () => shown() && whole([one()]) && document.querySelector('#frame svg'));
}"""
_LINK = """async path => seen(() => { location.hash = path; },
  () => '#' + location.hash.slice(1) === path
    && document.getElementById('path').textContent === decodeURIComponent(path).split('/train/')[1]
    && whole([one()]) && document.querySelector('#frame svg'))"""
_NEXT = """async () => {
  const before = document.getElementById('path').textContent;
  return seen(() => document.getElementById('next').click(),
    () => document.getElementById('path').textContent !== before && whole([one()]));
}"""
_FIRST = """async () => {
  const images = () => [...document.querySelectorAll('#tiles img')];
  const ready = () => document.querySelectorAll('#tiles svg').length > 9
    && images().every(i => i.complete && i.naturalWidth);
  while (performance.now() < 30000 && !ready())
    await new Promise(go => requestAnimationFrame(go));
  return performance.now() / 1000;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dir", type=Path, default=None)
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--port", type=int, default=8799)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        root = Path(folder)
        os.environ["DATA_ROOT"] = str(root)
        synthetic.make_archives(root, args.n, min(PART, args.n), 1, sequence_names=NAMES)
        browsers = browser_kit.start()
        servers: list[subprocess.Popen] = []
        try:
            measure(root, args.n, args.repeat, args.port, next(browsers), servers)
        finally:
            for server in servers:
                server.terminate()
                server.wait()
            browsers.close()


def start(root: Path, port: int) -> tuple[subprocess.Popen, str, float]:
    """Starts the viewer; returns its process, its address, and how long it took."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "posepile", "view", str(root / "set0.barecat")]
    command += ["--no-open", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = re.search(r"http://\S+", server.stdout.readline())[0]
    return server, url, time.perf_counter() - begun


def opened(browser, url: str):
    """Opens a page as a person's browser does: no request of it passes through this process."""
    width, height = browser_kit.DESKTOP
    page = browser.browser.new_context(viewport={"width": width, "height": height}).new_page()
    page.goto(url)
    return page


def measure(root: Path, n: int, repeat: int, port: int, browser, servers: list) -> None:
    """Prints a line for each case; servers that it starts are added to the list."""

    def say(case, times, limit, **more):
        figures = {"median": round(statistics.median(times), 4), "n": len(times), **more}
        synthetic.report("viewer", f"{n} examples: {case}", "s", max(times), limit, **figures)

    firsts, starts = [], []
    for _ in range(3):
        server, url, seconds = start(root, port)
        servers.append(server)
        starts.append(seconds)
        page = opened(browser, url)
        firsts.append(page.evaluate(_FIRST))
        page.context.close()
        server.terminate()
        server.wait()
    say("start of the server", starts, None)
    say("first page", firsts, 1.0)

    server, url, _ = start(root, port)
    servers.append(server)
    page = opened(browser, url)
    page.evaluate(_FIRST)
    page.evaluate(_HELP)
    page.wait_for_selector('[data-filter="subject"]')
    draw = random.Random(0)
    last = (n - 1) // PART
    filters = [("subject", f"seq{k:04d}") for k in range(min(5, last // 10 + 1))]
    filters += [("subject", ""), ("view", "7"), ("view", "")]
    filters += [("path", f"{last:05d}/0000"), ("path", ""), ("path", "999.jpg"), ("path", "")]
    times = []
    for name, value in filters:
        page.wait_for_selector(f'[data-filter="{name}"]')
        times.append(page.evaluate(_MANY, [name, value]))
        page.wait_for_load_state("networkidle")
    slowest = filters[times.index(max(times))]
    say("filter", times, 0.5, slowest=" ".join(slowest))
    say(
        "jump to a position", [page.evaluate(_JUMP, draw.randrange(n)) for _ in range(repeat)], 0.2
    )
    links = []
    for _ in range(repeat):
        k, i = draw.randrange(last + 1), draw.randrange(min(n, PART))
        path = f"#/set0/train/bench_downscaled/seq{k:05d}/{i:06d}.jpg"
        links.append(page.evaluate(_LINK, path))
    say("jump by a link", links, 0.2)
    say("next", [page.evaluate(_NEXT) for _ in range(repeat)], 0.2)
    status = Path(f"/proc/{server.pid}/status").read_text()
    peak = next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmHWM")) / 1024
    synthetic.report("viewer", f"{n} examples: memory of the server", "MB", peak, None)
    page.context.close()


if __name__ == "__main__":
    main()
