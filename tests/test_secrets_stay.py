"""Secrets reach the server or the archive that asks for them, and nothing and nobody else."""

import base64
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import pyzipper
import yaml
from hostile_servers import honest
from web_kit import Case

from posepile.acquire.addresses import shown_address, without_access
from posepile.acquire.credentials import Secret, clean_environment
from posepile.acquire.download import _Job, run_download
from posepile.acquire.lockfile import lock_path, read_lock, read_origins, remember
from posepile.acquire.programs import aws_environment, run_program
from posepile.acquire.sources import load_sources
from posepile.ds import load_miniature
from posepile.errors import UsageError
from posepile.files import read_json, write_json
from posepile.miniature import MARK, TRUTH
from posepile.templates import new_dataset

MARKED = "PLANTED7f3a"  # stands in every secret
ENVIRONMENT = {
    "POSEPILE_LAB_USER": f"me-{MARKED}",
    "POSEPILE_LAB_PASSWORD": f"pa & ss/{MARKED}",
    "POSEPILE_GYM_PASSWORD": f"zip {MARKED}",
    "GITHUB_TOKEN": f"gh-{MARKED}",
    "HF_TOKEN": f"hf-{MARKED}",
    "WANDB_API_KEY": MARKED,
    "AWS_SECRET_ACCESS_KEY": f"aws-{MARKED}",
    "PIP_INDEX_URL": f"https://me:{MARKED}@pypi.example.org/simple",
    "MY_PASSWORD": MARKED,
}
TOOL = """\
import os, pathlib, sys
root, said = pathlib.Path(sys.argv[1]), [*sys.argv, *map("=".join, os.environ.items())]
(root.parent / f"dump-tool-{os.getpid()}").write_text("\\n".join(said))
print(*said, sep="\\n")
code = 0 if os.path.exists(sys.argv[2]) else 3
if not code:
    (root / "tool.txt").write_text("done")
sys.exit(code)
"""
DUMP = """

import os as _os

_me = Path("/proc/self/cmdline").read_bytes()
if b"import serve" in _me:
    _said = Path("/proc/self/environ").read_bytes() + _me + repr(_os.environ).encode()
    Path(_os.environ["DATA_ROOT"], f"dump-worker-{_os.getpid()}").write_bytes(_said)
"""


def shows(data):
    """Whether anything gives a secret away, also in base64, at any place in it."""
    forms = [MARKED.lower().encode()]
    for shift in range(3):
        coded = base64.b64encode(bytes(shift) + MARKED.encode()).lower()
        forms.append(coded[4 if shift else 0 : -4])
    return any(form in data.lower() for form in forms)


def test_the_search_finds_what_it_is_for():
    assert shows(f"x{MARKED}".encode()) and not shows(b"x")
    for before in ("", "m", "me", "me:"):
        assert shows(base64.b64encode(f"{before}{MARKED}!!".encode()))


def packed(folder, pattern, password=None):
    out = io.BytesIO()
    kind = pyzipper.AESZipFile if password else zipfile.ZipFile
    with kind(out, "w", **({"encryption": pyzipper.WZ_AES} if password else {})) as z:
        if password:
            z.setpassword(password.encode())
        for path in sorted(folder.rglob(pattern)):
            z.writestr(str(path.relative_to(folder)), path.read_bytes())
    return out.getvalue()


@pytest.fixture
def dataset(tmp_path, monkeypatch, serve):
    """A dataset whose files need every kind of credential, and the server that has them."""
    sets, data = tmp_path / "sets", tmp_path / "data"
    sets.mkdir(), data.mkdir()
    new_dataset("gym", "coco", sets)
    monkeypatch.setenv("POSEPILE_DATASETS", str(sets))
    load_miniature("gym").build(tmp_path / "made")
    for name in (MARK, TRUTH):
        (tmp_path / "made" / name).unlink(missing_ok=True)
    main = sets / "gym" / "main.py"
    main.write_text(main.read_text() + DUMP)
    labels = packed(tmp_path / "made", "*.json", ENVIRONMENT["POSEPILE_GYM_PASSWORD"])
    pictures = packed(tmp_path / "made", "*.jpg")
    basic = base64.b64encode(
        "{POSEPILE_LAB_USER}:{POSEPILE_LAB_PASSWORD}".format(**ENVIRONMENT).encode()
    )

    def good(request):
        if request.path.startswith("/labels.zip"):
            assert request.header("Authorization") == f"Basic {basic.decode()}"
        content = {"/labels.zip": labels, "/get.php": pictures, "/note.txt": b"nothing"}
        return honest(content[request.path.split("?")[0]])(request)

    def bad(request):
        if request.path.startswith("/labels.zip"):  # it repeats what it was sent
            return request.send(f"HTTP/1.1 503 {MARKED} is wrong\r\nRetry-After: 0\r\n\r\n")
        if request.path.startswith("/get.php"):
            return request.reply(302, b"", f"Location: http://[{MARKED}/?token={MARKED}")
        return request.reply(200, f"Error: no such password: {MARKED}".encode())

    server = serve(bad)
    server.good = good
    tool = tmp_path / "tool.py"
    tool.write_text(TOOL)
    login = {"kind": "basic", "service": "lab"}
    sources = [
        {
            "name": "labels",
            "url": f"{server.url}/labels.zip?token={MARKED}&file=labels.zip",
            "to": "archives/labels.zip",
            "login": login,
            "extract": {"to": ".", "password": "gym"},
        },
        {
            "name": "pictures",
            "url": f"{server.url}/get.php?sfile=pictures.zip",
            "login": {"kind": "mpi", "domain": "amass"},
            "extract": {"to": "."},
        },
        {
            "name": "note",
            "url": f"{server.url}/note.txt",
            "to": "note.txt",
            "login": {"kind": "basic", "service": "known-by-netrc"},
        },
        {
            "name": "tool",
            "tool": {
                "command": [sys.executable, str(tool), "{root}", str(tmp_path / "now")],
                "install": "",
                "places": ["tool.txt"],
            },
        },
    ]
    (sets / "gym" / "sources.yaml").write_text(
        yaml.safe_dump({"dataset": "gym", "sources": sources})
    )
    private = tmp_path / "private"
    private.mkdir()
    (private / "credentials.yaml").write_text(f"amass: {{user: a-{MARKED}, password: b-{MARKED}}}")
    (private / "netrc").write_text(f"machine 127.0.0.1 login n-{MARKED} password p-{MARKED}")
    for file in private.iterdir():
        file.chmod(0o600)
    return server


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_whole_run_keeps_every_secret(tmp_path, dataset, no_accounts):
    private, data = tmp_path / "private", tmp_path / "data"
    environment = os.environ | ENVIRONMENT
    environment |= {
        "DATA_ROOT": str(data),
        "POSEPILE_DATASETS": str(tmp_path / "sets"),
        "POSEPILE_CREDENTIALS": str(private / "credentials.yaml"),
        "NETRC": str(private / "netrc"),
        "https_proxy": "http://me:of-the-proxy@127.0.0.1:1",
        "PYTHONPATH": str(Path(__file__).parent.parent),
    }
    said = {}

    def call(*words, code=0, **more):
        done = subprocess.run(
            [sys.executable, "-m", "posepile", *words],
            env=environment | more,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            cwd=tmp_path,
        )
        said[words, code] = done.stdout + done.stderr
        assert done.returncode == code, said[words, code].decode()
        return said[words, code].decode()

    assert "token=<hidden>&file=labels.zip" in call("plan", "gym")
    failed = call("run", "gym", "--quiet", code=1)
    assert "answers 503 <secret> is wrong" in failed and "redirects to what is no" in failed
    assert "exit status 3" in failed
    dataset.answers = [dataset.good]
    (tmp_path / "now").touch()
    assert "the password is wrong for it" in call(
        "run", "gym", "--quiet", code=1, POSEPILE_GYM_PASSWORD=f"not {MARKED}"
    )
    done = call("run", "gym", "--quiet", "--jobs", "1")
    assert "packed: 4 train, 3 val, 3 test" in done
    for command in ("plan", "doctor", "status", "report", "verify"):
        call(command, "gym")

    workers = [p.read_bytes() for p in data.glob("dump-worker-*")]
    assert len(list(data.glob("dump-tool-*"))) == 2 and workers
    assert not any(b"of-the-proxy" in said for said in workers)  # a tool may need it
    assert [words for words, text in said.items() if shows(text)] == []
    own = {private, tmp_path / "sets" / "gym" / "sources.yaml"}
    files = [p for p in tmp_path.rglob("*") if p.is_file() and not own & {p, p.parent}]
    assert len(files) > 20
    assert [str(p) for p in files if shows(p.read_bytes())] == []


# ---------------------------------------------------------------- environments


def test_environment_of_programs(monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("https_proxy", "http://me:pw@proxy.example.org")
    monkeypatch.setenv("MONKEY", "banana")
    found = clean_environment()
    assert not found.keys() & ENVIRONMENT.keys()
    assert {"PATH", "MONKEY", "https_proxy"} <= found.keys()
    assert clean_environment(["AWS_*"]).keys() - found.keys() == {"AWS_SECRET_ACCESS_KEY"}
    assert "https_proxy" not in clean_environment(network=False)
    assert aws_environment() == clean_environment(["AWS_*"])


@pytest.mark.parametrize(
    "name",
    "PGPASSWORD MYSQL_PWD SSHPASS DBPASS GITHUB_PAT GITLABTOKEN apiToken PRIVATEKEY "
    "SIGNING_KEY_PEM LDAP_BINDPW RESTIC_PASSWORD2 AZURE_STORAGE_CONNECTION_STRING DATABASE_DSN "
    "SLACK_WEBHOOK_URL SESSIONID HF_TOKEN KAGGLE_KEY REDISCLI_AUTH AWS_ACCESS_KEY_ID".split(),
)
def test_names_that_people_give_to_secrets(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert name not in clean_environment()


@pytest.mark.parametrize(
    "name",
    "PATH PWD OLDPWD HOME LANG PYTHONPATH OMP_NUM_THREADS CUDA_VISIBLE_DEVICES XAUTHORITY MONKEY "
    "TOKENIZERS_PARALLELISM SLURM_ARRAY_TASK_ID KEYBOARD COMPATIBLE".split(),
)
def test_names_of_what_is_no_secret(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert name in clean_environment()


def test_tool_gets_what_it_needs_and_no_more(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GYM_TOKEN", MARKED)
    monkeypatch.setenv("OTHER_TOKEN", MARKED)
    script = "import os; open('found', 'w').write(' '.join(k for k in os.environ if 'TOKEN' in k))"
    tool = {"command": [sys.executable, "-c", script], "install": "", "places": ["found"]}
    case = Case(tmp_path, {"name": "t", "tool": {**tool, "environment": ["GYM_*"]}})
    assert case.run().ok and (case.root / "found").read_text() == "GYM_TOKEN"


def test_what_a_program_prints_is_passed_on_without_its_secrets(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", f"very-long-{MARKED}")
    script = tmp_path / "speaks"
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "key = os.environ['AWS_SECRET_ACCESS_KEY']\n"
        "for part in ('50%|##', '|\\r', 'key is ', key[:12], key[12:], '\\n',\n"
        f"             'GET https://s3.org/a?X-Amz-Signature={MARKED}', '&part=1 failed'):\n"
        "    sys.stdout.write(part); sys.stdout.flush()\n"
    )
    script.chmod(0o755)
    code, lines = run_program([str(script)], install="", environment=aws_environment())
    printed = capfd.readouterr().err
    assert code == 0 and "key is <secret>\n" in printed and "Signature=<hidden>&part=1" in printed
    assert lines[-2:] == [line.strip() for line in printed.splitlines()[-2:]]
    assert MARKED not in printed + str(lines)


# ---------------------------------------------------------------- addresses, what is remembered


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://x.org/a.zip", "https://x.org/a.zip"),
        ("https://x.org/d.php?domain=a&resume=1&sfile=b.zip",) * 2,
        (f"https://x.org/a?{MARKED}", "https://x.org/a?<hidden>"),
        (f"https://me:{MARKED}@x.org:8/a", "https://x.org:8/a"),
        (f"https://x.org/a?sig={MARKED}&se=2;sp={MARKED}", None),
        (f"https://x.org/a#access_token={MARKED}", "https://x.org/a#<hidden>"),
        (f"http://[{MARKED}", "<hidden>"),
    ],
)
def test_addresses_give_no_access(address, shown):
    assert MARKED not in shown_address(address) + without_access(f"at '{address}', line 1")
    assert shown is None or shown_address(address) == shown


@pytest.mark.parametrize(
    "source",
    [
        {"name": "a", "url": f"https://me:p w'{MARKED}@x.org/a.zip"},
        {"name": "a", "url": "https://x.org/a.zip", "mirrors": [f"https://{MARKED}@x.org/a"]},
        {"name": "a", "url": f"ftp://x.org/a.zip?token={MARKED}"},
        {
            "name": "a",
            "url": f"http://x.org/a?token={MARKED}",
            "login": {"kind": "mpi", "domain": "a"},
        },
        {
            "name": "a",
            "tool": {
                "command": ["wget", f"https://me:{MARKED}@x.org/a"],
                "install": "",
                "places": "a",
            },
        },
    ],
)
def test_a_mistake_in_an_address_does_not_show_it(tmp_path, source):
    with pytest.raises(UsageError) as e:
        load_sources(Case(tmp_path, source).path)
    assert MARKED not in str(e.value) and "sources" in str(e.value)


def test_lock_notes_and_objects_do_not_hold_the_key(tmp_path, serve, no_accounts):
    server = serve(
        lambda r: r.send("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + "x" * 5000)
    )
    url = f"{server.url}/a?token={MARKED}"
    case = Case(tmp_path, {"name": "a", "url": url, "to": "a.bin"})
    assert not case.run(attempts=1).ok
    assert read_json(case.root / "a.bin.part.json")["url"] == f"{server.url}/a?token=<hidden>"
    server.answers = [honest(b"x" * 9000)]
    report = case.run()
    assert report.ok
    assert server.requests[-1].start == 5000 and MARKED in server.requests[-1].path
    assert read_lock(case.root)["a.bin"]["from"] == f"{server.url}/a?token=<hidden>"
    assert MARKED not in lock_path(case.root).read_text() + repr(report) + case.text
    # Locks of earlier versions may hold it; manifests do not take it over.
    lock = read_json(lock_path(case.root))
    lock["files"]["a.bin"]["from"] = url
    write_json(lock_path(case.root), lock)
    assert MARKED not in str(read_origins(case.root))
    remember(case.root, "a.bin", source="a", origin=url, measured={"bytes": 9000})
    assert MARKED not in lock_path(case.root).read_text()


def test_passwords_of_archives_are_not_shown_by_what_holds_them(
    tmp_path, monkeypatch, no_accounts
):
    seen = []
    real = _Job.__init__

    def note(self, *args, **kwargs):
        real(self, *args, **kwargs)
        seen.append(self)

    monkeypatch.setattr(_Job, "__init__", note)
    case = Case(
        tmp_path, {"name": "a", "url": "http://127.0.0.1:1/a.zip", "extract": {"password": "z"}}
    )
    case.run(attempts=1, passwords={"z": MARKED})
    assert seen and seen[0].passwords == {"z": Secret(MARKED)} and MARKED not in repr(seen[0])


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
@pytest.mark.parametrize(
    "proxy", [f"http://me:{MARKED}#1@127.0.0.1:1", f"http://me:{MARKED}@[x:1"]
)
def test_a_wrong_proxy_is_told_without_its_password(
    tmp_path, monkeypatch, variable, proxy, no_accounts
):
    monkeypatch.setenv(variable, proxy)
    case = Case(tmp_path, {"name": "a", "url": "http://example.org/a", "to": "a.bin"})
    report = run_download("x", case.path, case.root, log=case.lines.append, strict=False)
    assert f" {variable}: expected an address like" in f" {report.left[0]}"
    assert MARKED not in case.text + repr(report)
