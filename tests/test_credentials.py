import os
import pickle
import sys

import pytest

from posepile.acquire import credentials
from posepile.acquire.credentials import Secret, get_credentials, have_credentials, redact
from posepile.errors import UsageError


@pytest.fixture(autouse=True)
def credentials_file(no_accounts, tmp_path):
    return tmp_path / "credentials.yaml"


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)


def test_environment_wins_over_the_file(credentials_file, monkeypatch):
    write(credentials_file, 'amass: {user: u1, password: "p1"}')
    assert get_credentials("amass").password == Secret("p1")
    monkeypatch.setenv("POSEPILE_AMASS_USER", "u2")
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", "p2")
    found = get_credentials("amass")
    assert (found.user.reveal(), found.password.reveal()) == ("u2", "p2")


def test_half_a_pair_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("POSEPILE_AMASS_USER", "u")
    with pytest.raises(UsageError, match="POSEPILE_AMASS_PASSWORD is not"):
        get_credentials("amass")


@pytest.mark.parametrize("text", ["hunter2\udcff", "hunter2\n"])
def test_what_is_no_text_is_refused(monkeypatch, text):
    monkeypatch.setenv("POSEPILE_AMASS_USER", "u")
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", text)
    with pytest.raises(UsageError, match="POSEPILE_AMASS_PASSWORD is not printable text") as e:
        get_credentials("amass")
    assert "hunter2" not in str(e.value)


def test_file_of_another_user_is_refused(credentials_file, monkeypatch):
    write(credentials_file, 'amass: {user: u1, password: "p1"}')
    status = os.stat_result((0o100600, 0, 0, 1, os.geteuid() + 1, 0, 0, 0, 0, 0))
    monkeypatch.setattr(credentials.os, "fstat", lambda fd: status)
    with pytest.raises(UsageError, match="belongs to another user"):
        get_credentials("amass")


def test_archive_password_needs_no_user(monkeypatch):
    monkeypatch.setenv("POSEPILE_MY_SET_PASSWORD", "p")
    found = get_credentials("my-set", need_user=False)
    assert found.user is None and found.password.reveal() == "p"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_file_open_to_others_is_refused(credentials_file, mode):
    write(credentials_file, 'amass: {user: u1, password: "p1"}', mode)
    with pytest.raises(UsageError, match="chmod 600") as e:
        get_credentials("amass")
    assert "p1" not in str(e.value)


@pytest.mark.parametrize(
    "text",
    [
        "amass: hunter2",
        "amass: {user: u, pasword: hunter2}",
        "amass: {user: u, password: hunter2, more: 1}",
        "amass: {user: u, password: [hunter2]}",
        "amass: {password: hunter2}",
        "- hunter2",
        "amass: {user: u, password: hunter2",
        "amass: {user: u, password: '*hunter2}\n: :",
    ],
)
def test_malformed_file_is_reported_without_its_content(credentials_file, text):
    write(credentials_file, text)
    with pytest.raises(UsageError, match=r"credentials\.yaml") as e:
        get_credentials("amass")
    assert "hunter2" not in str(e.value)
    assert e.value.__context__ is None or e.value.__suppress_context__


def test_nothing_found_says_where_to_put_it(credentials_file):
    assert not have_credentials("mano")
    with pytest.raises(UsageError, match="POSEPILE_MANO_USER and POSEPILE_MANO_PASSWORD") as e:
        get_credentials("mano")
    assert str(credentials_file) in str(e.value)
    assert e.value.exit_code == 2


def test_prompt_only_at_a_terminal(monkeypatch, capsys):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return "me\n"

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr(credentials.getpass, "getpass", lambda prompt: "hunter2")
    assert get_credentials("amass").password.reveal() == "hunter2"
    with pytest.raises(UsageError):
        get_credentials("amass", prompt=False)
    assert "hunter2" not in "".join(capsys.readouterr())


def test_secret_shows_nothing():
    s = Secret("hunter2")
    shown = [repr(s), str(s), f"{s}", f"{s!r:>20}", repr([s]), str({"a": s})]
    shown.append(repr(credentials.Credentials("x", s, s)))
    assert not any("hunter2" in t for t in shown)
    with pytest.raises(TypeError):
        pickle.dumps(s)


def test_redact_knows_the_encodings_in_which_secrets_travel():
    text = "at http://x?password=a%26b+c, 'a&b c', a%26b%20c"
    assert redact(text, Secret("a&b c"), None).count("<secret>") == 3
    assert "%26" not in redact(text, Secret("a&b c"))


def test_netrc_is_asked_by_host(monkeypatch, tmp_path, credentials_file):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    write(
        tmp_path / "netrc", "machine h.org login me password hunter2\ndefault login a password b"
    )
    assert get_credentials("amass", host="h.org").password.reveal() == "hunter2"
    assert not have_credentials("amass") and not have_credentials("amass", host="other.org")
    assert not have_credentials("amass", host="h.org", need_user=False)  # of an archive
    write(credentials_file, 'amass: {user: u1, password: "p1"}')
    assert get_credentials("amass", host="h.org").password == Secret("p1")


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("machine h.org login me password hunter2", 0o644, "chmod 600"),
        ("machine h.org hunter2", 0o600, r"not a valid netrc file \(line 1\)"),
    ],
)
def test_netrc_open_to_others_or_malformed(monkeypatch, tmp_path, text, mode, expected):
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    write(tmp_path / "netrc", text, mode)
    with pytest.raises(UsageError, match=expected) as e:
        get_credentials("amass", host="h.org")
    assert "hunter2" not in str(e.value)


def test_keyring_is_asked_where_there_is_one(monkeypatch):
    class Entry:
        username, password = "me", "hunter2"

    class Keyring:
        def get_credential(self, service, user):
            if service == "posepile-locked":
                raise RuntimeError("locked: hunter2")
            return Entry() if service == "posepile-amass" else None

    monkeypatch.setitem(sys.modules, "keyring", Keyring())
    found = get_credentials("amass")
    assert (found.user.reveal(), found.password.reveal()) == ("me", "hunter2")
    assert not have_credentials("mano") and not have_credentials("locked")
