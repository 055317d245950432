"""The site file: every wrong key, type and value stops the start with file, key and what is expected."""

import contextlib
import copy
import json
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enclave.messages import Check, Mechanism, ProofKind
from spawner import site, tomlfile

ROOT = Path(__file__).parents[2]
DEMO = tomllib.loads((ROOT / "sites" / "demo.toml").read_text())

OIDC = {
    "authorize_url": "https://idp.example/authorize",
    "token_url": "https://idp.example/token",
    "userinfo_url": "https://idp.example/userinfo",
    "callback_url": "https://hub.example/hub/oauth_callback",
    "client_id": "renkei",
    "client_secret_file": "/etc/renkei/secret",
}


def written(value: object) -> str:
    """`value` as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(written(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def loaded(folder: Path, content: dict[str, object]) -> site.Site:
    path = folder / "site.toml"
    path.write_text("\n".join(f"{key} = {written(value)}" for key, value in content.items()))
    return site.load(path)


def complaint(folder: Path, content: dict[str, object]) -> str:
    """The one sentence about `content`."""
    with pytest.raises(site.SiteFileError) as caught:
        loaded(folder, content)
    sentence = str(caught.value)
    assert sentence.startswith(str(folder / "site.toml"))
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


def changed(*path: str | int, value: object) -> dict[str, object]:
    """The demonstration's content with `value` at `path`."""
    content = copy.deepcopy(DEMO)
    here: object = content
    for step in path[:-1]:
        here = here.setdefault(step, {}) if isinstance(here, dict) else here[step]
    here[path[-1]] = value
    return content


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place of `value`, tables and leaves."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in inside for place in ((*path, key), *places(each, (*path, key)))]


def shown(path: tuple[str | int, ...]) -> str:
    """`path` as complaints write it."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def at(path: tuple[str | int, ...]) -> object:
    here: object = DEMO
    for step in path:
        here = here[step]
    return here


TABLES = [(), *(path for path in places(DEMO) if isinstance(at(path), dict))]


@pytest.mark.parametrize("name", ["demo.toml", "slurm.toml"])
def test_the_examples_are_sites(name):
    loaded_site = site.load(ROOT / "sites" / name)
    assert loaded_site.group("ct-link").destinations == ("cloud", "kashiwa")
    assert loaded_site.find_destination("kashiwa").port == 2202
    assert loaded_site.group("nowhere") is None


def test_what_the_slurm_example_leaves_out_is_what_it_says(tmp_path):
    path = ROOT / "sites" / "slurm.toml"
    text = re.sub(r"^# people.*\n|^# \[(login\.oidc|database)\].*\n(# .*\n)*", "", path.read_text(), flags=re.MULTILINE)
    spelt_out, defaults = re.subn(r"^# ([a-z_]+ = )", r"\1", text, flags=re.MULTILINE)
    assert defaults == 21
    (tmp_path / "site.toml").write_text(spelt_out)
    assert site.load(tmp_path / "site.toml") == site.load(path)


def test_a_password_in_the_databases_address_is_refused(tmp_path):
    sentence = complaint(tmp_path, changed("database", value={"url": "postgresql://renkei:secret@db/renkei"}))
    assert "password_file - at `$.database.url`" in sentence


def test_the_demonstration_written_anew_is_the_same_site(tmp_path):
    assert loaded(tmp_path, DEMO) == site.load(ROOT / "sites" / "demo.toml")


@pytest.mark.parametrize("path", TABLES, ids=shown)
def test_a_key_that_no_site_has_is_named_with_the_keys_there_are(tmp_path, path):
    sentence = complaint(tmp_path, changed(*path, "surprise", value=1))
    assert "`surprise`" in sentence
    assert not path or f"`{shown(path)}`" in sentence
    assert "expected one of" in sentence


@pytest.mark.parametrize("path", places(DEMO), ids=shown)
def test_a_value_of_another_type_is_named(tmp_path, path):
    wrong = {"x": {"y": 1}} if not isinstance(at(path), dict) else 5
    sentence = complaint(tmp_path, changed(*path, value=wrong))
    assert shown(path) in sentence
    assert re.search(r"[Ee]xpected", sentence)


def required() -> list[tuple[str | int, ...]]:
    found = []
    for path in TABLES:
        kind = tomlfile._at(site.Site, "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path))[0]
        found += [(*path, field.name) for field in msgspec.structs.fields(kind) if field.required]
    return found


@pytest.mark.parametrize("path", required(), ids=shown)
def test_a_key_that_every_site_needs_is_asked_for(tmp_path, path):
    content = copy.deepcopy(DEMO)
    here: object = content
    for step in path[:-1]:
        here = here[step]
    del here[path[-1]]
    assert f"`{path[-1]}`" in complaint(tmp_path, content)


GROUP = ("resource_group", 0)
WRONG_VALUES = [
    (("hub", "bind_url"), "0.0.0.0:8000", "http://"),
    (("hub", "bind_url"), "https://0.0.0.0:443", "tls_certificate"),
    (("hub", "demonstration"), False, "$.hub.subdomain_host"),
    (("hub", "subdomain_host"), "hub.example", "https://"),
    (("hub", "subdomain_host"), "http://hub.example/path", "host name"),
    (("hub", "subdomain_host"), "https://hub.example", "bind_url"),
    (("hub", "address"), "hub.example", "an IP address"),
    (("hub", "api_port"), 0, ">= 1"),
    (("hub", "callback_port"), 70_000, "<= 65535"),
    (("hub", "state"), "relative", "begins with /"),
    (("hub", "default_language"), "fr", '"ja" or "en"'),
    (("hub", "tls_certificate"), "/etc/hub.pem", "tls_key"),
    (("login", "method"), "ldap", '"pam" or "oidc"'),
    (("login", "method"), "oidc", "[login.oidc]"),
    (("login", "oidc"), OIDC, 'method = "oidc"'),
    (("login", "oidc"), {**OIDC, "token_url": "idp.example/token"}, "http://"),
    (("login", "admins"), ["Admin"], "lower-case"),
    (("login", "people"), ["tanaka\n"], "lower-case"),
    (("scheduler", "kind"), "pbs", '"slurm"'),
    (("scheduler", "run_as"), "root", '"service" or "person"'),
    (("scheduler", "run_as"), "person", "exclusive = true"),
    (("scheduler", "account"), "sessions", "{user}"),
    (("scheduler", "proof"), "trust", '"munge" or "ticket"'),
    (("scheduler", "poll_seconds"), 0, "> 0"),
    ((*GROUP, "name"), "CT link", "lower-case"),
    ((*GROUP, "subnets"), ["10.77.1.0/33"], "ADDRESS/BITS"),
    ((*GROUP, "gpus"), [], "at least one"),
    ((*GROUP, "gpus"), [-1], ">= 0"),
    ((*GROUP, "hours"), [], "at least one"),
    ((*GROUP, "hours"), [1000], "<= 720"),
    ((*GROUP, "destinations"), ["clod"], "name of a destination"),
    ((*GROUP, "mechanism"), "bind", '"namespaces"'),
    ((*GROUP, "mechanism"), "fusermount", '[preflight] accepts ("namespaces")'),
    (("preflight", "mechanisms"), [], "[preflight] accepts (none)"),
    (("preflight", "mechanisms"), ["fusermount"], '[preflight] accepts ("fusermount"), got "namespaces"'),
    (("preflight", "mechanisms"), ["sudo"], '"fusermount"'),
    (("resource_group",), [], ">= 1"),
    (("resource_group",), DEMO["resource_group"] * 2, "two resource_group tables"),
    (("destination",), DEMO["destination"] * 2, "two destination tables"),
    (("destination", 0, "without_owner"), True, "either the table owner"),
    (("destination", 0, "owner", "control_key"), "keys/control", "begins with /"),
    (("destination", 0, "gateway"), "gw", "an IP address"),
    (("destination", 0, "port"), "2201", "`int`"),
    (("node", "software"), ["opt"], "begins with /"),
    (("preflight", "swap"), "ignore", '"refuse" or "banner"'),
    (("preflight", "walls"), "banner", 'expected "refuse"'),
    (("preflight", "namespaces"), "banner", 'expected "refuse"'),
]


@pytest.mark.parametrize(("path", "value", "expected"), WRONG_VALUES, ids=[f"{shown(each[0])}-{each[2]}" for each in WRONG_VALUES])
def test_a_wrong_value_is_named_with_what_is_expected(tmp_path, path, value, expected):
    sentence = complaint(tmp_path, changed(*path, value=value))
    assert expected in sentence
    assert re.search(r"at `\$|two [a-z_]+ tables", sentence)


@pytest.mark.parametrize("check", site.LOWERABLE)
def test_only_a_demonstration_lowers_what_a_node_must_have(tmp_path, check):
    content = changed("preflight", value={check: "banner"})
    assert loaded(tmp_path, content).preflight.lowered() == (check,)

    content["hub"] |= {"demonstration": False, "subdomain_host": "http://hub.example"}
    assert complaint(tmp_path, content).endswith(f'expected "refuse", or demonstration = true in [hub] - at `$.preflight.{check}`.')


def test_a_site_says_what_it_lowers_and_nothing_is_lowered_unless_it_says_so(tmp_path):
    assert {field.name for field in msgspec.structs.fields(site.Preflight)} == {"mechanisms", *Check}
    assert site.Preflight().lowered() == ()
    assert site.load(ROOT / "sites" / "slurm.toml").preflight.lowered() == ()
    assert site.load(ROOT / "sites" / "demo.toml").preflight.lowered() == site.LOWERABLE
    for check in set(Check) - set(site.LOWERABLE):
        assert f"$.preflight.{check}`" in complaint(tmp_path, changed("preflight", check.value, value="banner"))


def test_a_site_may_say_that_the_weaker_mechanism_is_enough(tmp_path):
    content = changed(*GROUP, "mechanism", value="fusermount")
    content["preflight"] = {"mechanisms": ["namespaces", "fusermount"]}
    assert loaded(tmp_path, content).group("ct-link").mechanism is Mechanism.FUSERMOUNT


def test_oidc_and_its_table_make_a_site(tmp_path):
    content = changed("login", "method", value="oidc")
    content["login"]["oidc"] = OIDC
    assert loaded(tmp_path, content).login.oidc.username_claim == "preferred_username"


@pytest.mark.parametrize("text", ["[hub", "hub = 1\nhub = 2", "\x00", "= 5"])
def test_what_is_no_toml_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "site.toml"
    path.write_text(text)
    with pytest.raises(site.SiteFileError, match=r"site\.toml: "):
        site.load(path)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path):
    with pytest.raises(site.SiteFileError, match=r"nowhere\.toml: can't be read: No such file"):
        site.load(tmp_path / "nowhere.toml")
    (tmp_path / "raw.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(site.SiteFileError, match=r"raw\.toml"):
        site.load(tmp_path / "raw.toml")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_but_a_bad_file_comes_of_rubbish(raw):
    with pytest.raises(tomlfile.BadFileError):
        tomlfile.decode(raw, site.Site)


def test_pjm_is_one_line_away(tmp_path):
    here = loaded(tmp_path, changed("scheduler", "kind", value="pjm")).scheduler
    assert (here.proved_by, here.names_nodes, here.pjm.sees_all) == (ProofKind.TICKET, False, False)
    slurm = loaded(tmp_path, DEMO).scheduler
    assert (slurm.proved_by, slurm.names_nodes) == (ProofKind.MUNGE, True)


@pytest.mark.parametrize(("key", "value"), [("proof", "munge"), ("accounting", True)])
def test_what_pjm_does_not_have_is_refused(tmp_path, key, value):
    content = changed("scheduler", "kind", value="pjm")
    content["scheduler"][key] = value
    assert f"$.scheduler.{key}`" in complaint(tmp_path, content)


def test_nothing_starts_before_the_centre_has_said_what_only_it_can_say():
    """Every such value is named with what is asked, all at once."""
    with pytest.raises(site.SiteFileError) as caught:
        site.load(ROOT / "sites" / "flow.toml")
    said = str(caught.value)
    assert "expected what the computing centre says" in said
    for key in ("$.hub.address", "$.scheduler.pjm.folder", "$.resource_group[0].partition", "$.destination[1].port"):
        assert f"at `{key} (" in said


def test_with_the_centres_word_the_flow_example_is_a_site(tmp_path):
    told = {"address": "192.0.2.10", "gateway": "198.51.100.1", "port": 2201, "folder": "/data/renkei", "partition": "cx-ct",
            "subnets": "192.0.2.0/24", "sees_all": False}  # fmt: skip
    text = re.sub(
        r'^([a-z_]+) = (\[?)"\?[^"]*"(\]?)',
        lambda found: f"{found[1]} = {found[2]}{json.dumps(told[found[1]])}{found[3]}",
        (ROOT / "sites" / "flow.toml").read_text(),
        flags=re.MULTILINE,
    )
    (tmp_path / "site.toml").write_text(text)

    here = site.load(tmp_path / "site.toml")

    assert here.scheduler.kind is site.Kind.PJM
    assert {each.name for each in here.destination} == {"cloud", "kashiwa"}
    assert here.preflight.lowered() == ()


def test_a_mark_is_found_wherever_it_stands():
    raw = b'a = "? who"\nb = [1, "?", "x"]\n[[c.d]]\ne = "no ?"\n[[c.d]]\ne = "?where"\n'

    assert tomlfile.beginning_with(raw, "?") == ("$.a (who)", "$.b[1]", "$.c.d[1].e (where)")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_marks_are_looked_for_in_anything(raw):
    with contextlib.suppress(tomlfile.BadFileError):
        assert all(place.startswith("$") for place in tomlfile.beginning_with(raw, "?"))
