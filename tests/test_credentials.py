import os
import pickle

import pytest

from posepile.acquire import credentials
from posepile.acquire.credentials import Secret, get_credentials, have_credentials, redact
from posepile.errors import UsageError


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("POSEPILE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("POSEPILE_CREDENTIALS", str(tmp_path / "credentials.yaml"))
    monkeypatch.setattr("sys.stdin", None)
    return tmp_path / "credentials.yaml"


def write(path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)


def test_environment_wins_over_the_file(no_credentials, monkeypatch):
    write(no_credentials, 'amass: {user: u1, password: "p1"}')
    assert get_credentials("amass").password == Secret("p1")
    monkeypatch.setenv("POSEPILE_AMASS_USER", "u2")
    monkeypatch.setenv("POSEPILE_AMASS_PASSWORD", "p2")
    found = get_credentials("amass")
    assert (found.user.reveal(), found.password.reveal()) == ("u2", "p2")


def test_half_a_pair_in_the_environment_is_an_error(monkeypatch):
    monkeypatch.setenv("POSEPILE_AMASS_USER", "u")
    with pytest.raises(UsageError, match="POSEPILE_AMASS_PASSWORD is not"):
        get_credentials("amass")


def test_archive_password_needs_no_user(monkeypatch):
    monkeypatch.setenv("POSEPILE_MY_SET_PASSWORD", "p")
    found = get_credentials("my-set", need_user=False)
    assert found.user is None and found.password.reveal() == "p"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_file_open_to_others_is_refused(no_credentials, mode):
    write(no_credentials, 'amass: {user: u1, password: "p1"}', mode)
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
def test_malformed_file_is_reported_without_its_content(no_credentials, text):
    write(no_credentials, text)
    with pytest.raises(UsageError, match=r"credentials\.yaml") as e:
        get_credentials("amass")
    assert "hunter2" not in str(e.value)
    assert e.value.__context__ is None or e.value.__suppress_context__


def test_nothing_found_says_where_to_put_it(no_credentials):
    assert not have_credentials("mano")
    with pytest.raises(UsageError, match="POSEPILE_MANO_USER and POSEPILE_MANO_PASSWORD") as e:
        get_credentials("mano")
    assert str(no_credentials) in str(e.value)
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
