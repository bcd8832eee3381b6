"""Hosts of published folders as addresses name them: what is asked there, and what cannot be."""

import base64
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from export.repository.host import Host
from neurocity.errors import ConfigError, StorageError


@pytest.fixture
def asked():
    """(path, authorization) of what was asked of a host, and its HOST:PORT; from `/moved/` it leads away."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append((self.path, self.headers["Authorization"]))
            self.send_response(302 if self.path.startswith("/moved/") else 200)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "3")
            self.end_headers()
            self.wfile.write(b"abc")

        def log_message(self, *_):
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield requests, f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a b/straße/index.html", "/a%20b/stra%C3%9Fe/scene.js"),
        ("/a%20b?x=1#eye=1", "/a%20b/scene.js"),
        ("", "/scene.js"),
    ],
)
def test_an_address_is_asked_for_as_people_write_it(asked, path, sent):
    requests, place = asked
    assert Host(f"http://{place}{path}").read("scene.js") == b"abc"
    assert requests == [(sent, None)]


def test_user_and_password_are_told_to_their_host_alone(asked):
    requests, place = asked
    host = Host(f"http://me:p%40ss@{place}/moved/")
    assert host.read("scene.js") == b"abc"
    basic = f"Basic {base64.b64encode(b'me:p@ss').decode()}"
    assert requests == [("/moved/scene.js", basic), ("/elsewhere", None)]
    assert host.url == f"http://{place}/moved"


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("http://", ConfigError, "names no host, expected https://HOST/PATH/"),
        ("http://[bad/x", ConfigError, "expected https://HOST/PATH/"),
        ("http://host:port/", StorageError, "scene.js: cannot be read .*port"),
        (f"http://{'a' * 70}.com/", StorageError, "scene.js: cannot be read .*label"),
    ],
)
def test_what_is_no_address_is_said(url, error, message):
    with pytest.raises(error, match=message):
        Host(url).read("scene.js")
