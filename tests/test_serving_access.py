"""API keys and signed links: who is let in, to which scenes, and what is at rest."""

import re
import time

import analytic_scene
import pytest
from fastapi import FastAPI
from gateway_server import running_gateway, running_server

from neurocity.errors import ConfigError
from serving.access import links
from serving.access.commands import key as make_key
from serving.access.commands import sign
from serving.access.keys import ApiKeys, Grant, new_key
from serving.access.links import SigningKeys
from serving.app import create_app
from serving.middleware.authorisation import KEY_PROTOCOL, _key
from serving.settings import Settings

PICTURE = "/v1/scenes/sphere/render.png?eye=3,0,0&target=0,0,0&width=8&height=6"
SECRET = "s" * 40


@pytest.fixture(scope="module")
def keys():
    """Name -> key; `old` and `new` are one user's."""
    made = {}
    lines = []
    for label, grant in {
        "all": Grant("operator", frozenset({"*"}), admin=True),
        "old": Grant("viewer", frozenset({"sphere"})),
        "new": Grant("viewer", frozenset({"sphere"})),
        "other": Grant("stranger", frozenset({"city", "lego"})),
        "everything": Grant("everything", frozenset({"*"})),
        "prometheus": Grant("prometheus", frozenset(), admin=True),
    }.items():
        made[label], line = new_key(grant)
        lines.append(line)
    return made, lines


@pytest.fixture(scope="module")
def client(tmp_path_factory, keys):
    folder = tmp_path_factory.mktemp("access")
    repository = analytic_scene.write_repository(folder / "models", "onnx")
    _, lines = keys
    (folder / "keys").write_text("\n".join(["# keys", "", *lines[:2], f"{lines[2]}  # since today"]))
    (folder / "signing").write_text(f"web {SECRET} sphere\nabroad {SECRET} city\n")
    settings = Settings(
        repository=repository,
        api_key_file=folder / "keys",
        api_keys=";".join(lines[3:]),
        signing_key_file=folder / "signing",
    )
    with running_gateway(create_app(settings)) as client:
        yield client


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/docs", "/openapi.json"])
def test_probes_and_pages_are_open(client, path):
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", [PICTURE, "/v1/scenes", "/v1/scenes/sphere", "/v1/scenes/none", "/metrics"])
def test_the_rest_is_closed(client, path):
    for headers in (
        {},
        {"x-api-key": "guess"},
        {"authorization": "Bearer guess"},
        {"authorization": "Basic x"},
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["type"] == "urn:neurocity:problem:unauthorised"


@pytest.mark.parametrize("label", ["all", "old", "new"])
def test_each_valid_key_opens_its_scene(client, keys, label):
    made, _ = keys
    for headers in ({"x-api-key": made[label]}, {"authorization": f"Bearer {made[label]}"}):
        answer = client.get(PICTURE, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-cache"


def test_a_key_opens_no_other_scene_and_lists_none(client, keys):
    made, _ = keys
    stranger, viewer = {"x-api-key": made["other"]}, {"x-api-key": made["new"]}
    for path in (PICTURE, "/v1/scenes/sphere"):
        answer = client.get(path, headers=stranger)
        assert answer.status_code == 403
        assert answer.json()["type"] == "urn:neurocity:problem:scene-forbidden"
    assert client.post("/v1/scenes/sphere/render", json={}, headers=stranger).status_code == 403
    assert client.get("/v1/scenes", headers=stranger).json() == {"scenes": []}
    assert [item["scene"] for item in client.get("/v1/scenes", headers=viewer).json()["scenes"]] == ["sphere"]
    assert client.get("/v1/scenes/city", headers=stranger).status_code == 404


def test_an_operators_key_alone_opens_what_is_for_operators(client, keys):
    made, _ = keys
    found = {
        label: client.get("/metrics", headers={"x-api-key": made[label]})
        for label in ("all", "new", "everything", "prometheus")
    }
    assert {label: answer.status_code for label, answer in found.items()} == {
        "all": 200,
        "new": 403,
        "everything": 403,
        "prometheus": 200,
    }
    assert found["everything"].json()["type"] == "urn:neurocity:problem:admin-only"
    prometheus = {"x-api-key": made["prometheus"]}
    assert client.get(PICTURE, headers=prometheus).status_code == 403
    assert client.get("/v1/scenes", headers=prometheus).json() == {"scenes": []}
    for label, status in (("everything", 403), ("all", 404)):  # of a path below that nothing is
        assert client.get("/v1/admin/nothing", headers={"x-api-key": made[label]}).status_code == status


def test_readiness_tells_no_scene_without_a_key(client, keys):
    made, _ = keys
    assert client.get("/readyz").json() == {"status": "ready", "scenes": []}
    for label, scenes in (("new", ["sphere"]), ("other", []), ("prometheus", [])):
        assert client.get("/readyz", headers={"x-api-key": made[label]}).json()["scenes"] == scenes


@pytest.mark.parametrize("prefix", ["", "/deep/city"])
def test_a_prefix_opens_nothing(tmp_path, keys, prefix):
    """Where a proxy takes a prefix away, and where the application is mounted on one."""
    made, lines = keys
    repository = analytic_scene.write_repository(tmp_path, "onnx")
    settings = Settings(repository=repository, api_keys=lines[0], root_path=None if prefix else "/city")
    inner = create_app(settings)
    outer = FastAPI(lifespan=lambda _: inner.router.lifespan_context(inner))
    outer.mount(prefix, inner)
    with running_server(outer, settings) as (_, client):
        assert client.get(f"{prefix}/livez").status_code == 200
        for path in (PICTURE, "/v1/scenes", "/metrics"):
            assert client.get(prefix + path).status_code == 401
            assert client.get(prefix + path, headers={"x-api-key": made["all"]}).status_code == 200


def signer(name: str = "web") -> SigningKeys:
    return SigningKeys([f"{name} {SECRET} sphere"], "test")


def test_a_signed_link_is_its_picture_and_nothing_else(client, keys):
    made, _ = keys
    link = signer().sign(PICTURE, 60)
    answer = client.get(link)
    assert answer.status_code == 200
    plain = client.get(PICTURE, headers={"x-api-key": made["all"]})
    assert answer.content == plain.content
    assert answer.headers["etag"] == plain.headers["etag"]
    assert client.head(link).status_code == 200
    changed = [
        link.replace("width=8", "width=9"),
        link.replace("render.png", "render.npy"),
        link + "&width=2000",
        link.replace("key_id=web", "key_id=abroad"),
        re.sub(r"expires=\d+", f"expires={int(time.time()) + 999}", link),
        re.sub(r"expires=\d+&", "", link),
        re.sub(r"signature=.", "signature=%C3%A9", link),
        re.sub(r"signature=.*", "signature=", link),
        re.sub(r"expires=\d+", "expires=" + "9" * 5000, link),
    ]
    assert [client.get(url).status_code for url in changed] == [401] * len(changed)
    assert client.post(link.replace(".png", ""), json={}).status_code == 401


def test_a_link_ends_and_is_for_its_scene(client):
    assert client.get(signer().sign(PICTURE, -2)).status_code == 401
    assert client.get(signer("abroad").sign(PICTURE, 60)).status_code == 403
    assert client.get(SigningKeys([f"web {'t' * 40} *"], "test").sign(PICTURE, 60)).status_code == 401


def test_the_order_of_the_query_does_not_matter(client):
    path, _, query = signer().sign(PICTURE, 60).partition("?")
    assert client.get(f"{path}?{'&'.join(reversed(query.split('&')))}").status_code == 200


def test_commands(tmp_path, capsys, monkeypatch):
    make_key("ada", "lego,city", pixels_per_minute=5000)
    captured = capsys.readouterr()
    made = captured.err.split()[-1]
    assert made not in captured.out
    grant = ApiKeys([captured.out], "out").grant(made)
    assert grant is not None
    assert grant == Grant("ada", frozenset({"lego", "city"}), pixels_per_minute=5000)
    make_key("prometheus", "-", admin=True)
    captured = capsys.readouterr()
    granted = ApiKeys([captured.out], "out").grant(captured.err.split()[-1])
    assert granted == Grant("prometheus", frozenset(), admin=True)
    with pytest.raises(ConfigError, match="pixels_per_minute: got 0"):
        make_key("ada", pixels_per_minute=0)
    file = tmp_path / "signing"
    file.write_text(f"first {SECRET} *\nlast {SECRET} *\n")
    sign("http://host/v1/scenes/a%20b/render.png?eye=1,2,3", file)
    url = capsys.readouterr().out.strip()
    assert "key_id=last" in url
    query = url.partition("?")[2]
    keys = SigningKeys(file.read_text().splitlines(), "file")
    assert keys.grant("/v1/scenes/a b/render.png", query) is not None
    monkeypatch.setattr(links.time, "time", lambda: time.monotonic() + 1e12)
    assert keys.grant("/v1/scenes/a b/render.png", query) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("only two", "line 1: expected three words"),
        (f"a {'a' * 64} * owner", "line 1: got 'owner', expected admin or pixels-per-minute=N"),
        (f"a {'a' * 64} * pixels-per-minute=0", "got 'pixels-per-minute=0'"),
        (f"a {'a' * 64} * pixels-per-minute=many", "got 'pixels-per-minute=many'"),
        ("n@me " + "a" * 64 + " *", "expected three words: a name"),
        ("name plain-text-key *", "no SHA-256"),
    ],
)
def test_wrong_lines_of_keys_are_named_and_no_secret_told(line, message):
    with pytest.raises(ConfigError, match=message) as raised:
        ApiKeys([line], "keys")
    assert "plain-text-key" not in str(raised.value)


def test_the_lines_of_one_name_have_one_quota():
    one, other = (f"a {letter * 64} * pixels-per-minute={n}" for letter, n in (("a", 100), ("b", 200)))
    assert len(ApiKeys([one, other.replace("200", "100")], "keys")) == 2
    with pytest.raises(ConfigError, match="line 2: got pixels-per-minute=200 for 'a', a line before has 100"):
        ApiKeys([one, other], "keys")


def test_weak_double_and_unknown_signing_keys_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="12 characters, expected 32"):
        SigningKeys(["a short-secret"[:2] + "short-secret *"], "keys")
    with pytest.raises(ConfigError, match="got admin, which is for API keys"):
        SigningKeys([f"a {SECRET} * admin"], "keys")
    with pytest.raises(ConfigError, match="line 2: there is a key 'a' already"):
        SigningKeys([f"a {SECRET} *"] * 2, "keys")
    with pytest.raises(ConfigError, match="got 'b', known: a"):
        SigningKeys([f"a {SECRET} *"], "keys").sign(PICTURE, 60, "b")
    with pytest.raises(ConfigError, match="has a field 'expires' already"):
        signer().sign(PICTURE + "&expires=1", 60)
    with pytest.raises(ConfigError, match="cannot be read"):
        create_app(Settings(api_key_file=tmp_path / "absent"))


def test_a_wrong_line_is_told_by_its_number_in_its_file(tmp_path, keys):
    _, lines = keys
    file = tmp_path / "keys"
    file.write_text("only two\n")
    with pytest.raises(ConfigError, match=f"{file}, line 1"):
        create_app(Settings(api_keys=";".join(lines), api_key_file=file))


def test_what_is_no_key_at_all_is_a_wrong_one():
    scope = {"headers": [], "subprotocols": [f"{KEY_PROTOCOL}\u00e9"]}
    assert _key(scope) == ""


def test_an_open_gateway_that_others_can_reach_says_so(caplog, keys):
    _, lines = keys
    create_app(Settings(host="127.0.0.1"))
    create_app(Settings(host="0.0.0.0", api_keys=";".join(lines)))
    assert "whoever reaches it" not in caplog.text
    create_app(Settings(host="0.0.0.0"))
    assert "host=0.0.0.0: whoever reaches it may render" in caplog.text
