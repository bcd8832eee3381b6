"""Connections that send nothing, slowly, too much or too many, and clients that do not read: none stays."""

import contextlib
import errno
import io
import json
import re
import resource
import socket
import time

import analytic_scene
import pytest
from gateway_server import running_server
from test_serving_drain import process
from waiting import PATIENCE, wait_for

from serving.app import create_app
from serving.server import server as server_module
from serving.server.listener import open_listener, url_of
from serving.settings import Settings

POST = b"POST /v1/scenes/sphere/render HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
HALF_A_HEAD = b"GET /livez HTTP/1.1\r\nHost:"


@pytest.fixture(scope="module")
def app_settings(tmp_path_factory):
    repository = analytic_scene.write_repository(tmp_path_factory.mktemp("repository"), "native")
    return Settings(
        repository=repository,
        max_connections=6,
        request_timeout_seconds=1.0,
        keep_alive_seconds=2.0,
        drain_seconds=5,
    )


@pytest.fixture(scope="module")
def served(app_settings):
    with running_server(create_app(app_settings), app_settings) as (server, client):
        yield server, client


@contextlib.contextmanager
def connections(served):
    """Opens connections, which are closed at the end."""
    server, client = served
    with contextlib.ExitStack() as opened:

        def one(data: bytes = b"") -> socket.socket:
            address = (client.base_url.host, client.base_url.port)
            connection = opened.enter_context(socket.create_connection(address, timeout=PATIENCE))
            connection.sendall(data)
            return connection

        yield one
    wait_for(lambda: server.connection_count() <= 1)


@pytest.fixture
def connect(served):
    """Opens connections that are closed behind the test."""
    with connections(served) as one:
        yield one


@pytest.fixture
def patient(app_settings):
    """The same server, but a request may take as long as tests wait."""
    settings = app_settings.model_copy(update={"request_timeout_seconds": PATIENCE})
    with running_server(create_app(settings), settings) as (server, client):
        yield server, client


@pytest.fixture
def connect_patiently(patient):
    """Opens connections to it."""
    with connections(patient) as one:
        yield one


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of one answer; status 0 when the connection ends without one."""
    with connection.makefile("rb") as stream:
        return read_answer(stream)


def read_answer(stream: io.BufferedIOBase) -> tuple[int, dict[str, str], bytes]:
    line = stream.readline()
    if not line:
        return 0, {}, b""
    headers = {}
    while (field := stream.readline().strip().decode()) != "":
        name, _, value = field.partition(": ")
        headers[name.lower()] = value
    return int(line.split()[1]), headers, stream.read(int(headers["content-length"]))


def picture_request(side: int, kind: str) -> bytes:
    """A POST for a picture of side x side pixels."""
    camera = {"look_at": {"eye": [3, 0, 0], "target": [0, 0, 0]}}
    body = json.dumps({"camera": camera, "width": side, "height": side, "format": kind}).encode()
    return POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def slug(body: bytes) -> str:
    return json.loads(body)["type"].rpartition(":")[2]


def test_a_silent_connection_is_closed_and_half_a_head_is_told_why(connect):
    silent, half = connect(), connect(HALF_A_HEAD)
    status, headers, body = answer(half)
    assert (status, slug(body)) == (408, "request-timeout")
    assert headers["connection"] == "close"
    assert silent.recv(1) == b""


def test_a_head_that_trickles_is_timed_from_its_first_byte(app_settings):
    settings = app_settings.model_copy(update={"keep_alive_seconds": PATIENCE})
    with (
        running_server(create_app(settings), settings) as (_, client),
        socket.create_connection((client.base_url.host, client.base_url.port)) as trickling,
    ):
        trickling.sendall(LIVEZ)
        assert answer(trickling)[0] == 200
        time.sleep(1.2)  # longer than a request may take
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < PATIENCE:
                trickling.sendall(b"G")
                time.sleep(0.2)
        assert 0.9 < time.monotonic() - began < PATIENCE


def test_an_idle_connection_is_kept_for_its_time(connect, app_settings):
    for _ in range(20):
        kept, began = connect(LIVEZ), time.monotonic()
        assert answer(kept)[0] == 200
        time.sleep(1.4)
        asked = time.monotonic()
        with contextlib.suppress(ConnectionError):
            kept.sendall(LIVEZ)
            if answer(kept)[0] == 200:
                break
        # Where this process had to wait for others, the time was over.
        assert time.monotonic() - began > app_settings.keep_alive_seconds
    assert kept.recv(1) == b""
    assert time.monotonic() - asked > app_settings.keep_alive_seconds


def test_a_body_that_stops_is_timed_out(connect):
    stopped = connect(POST + b"Content-Length: 100\r\n\r\n{")
    status, headers, body = answer(stopped)
    assert (status, slug(body)) == (408, "request-timeout")
    assert headers["connection"] == "close"
    assert stopped.recv(1) == b""


def test_a_body_that_trickles_is_timed_out(connect):
    """Each chunk is in time, and all of them are not."""
    trickling = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    began = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 2.5:
            trickling.sendall(b"1\r\n \r\n")
            time.sleep(0.2)
    assert answer(trickling)[0] == 408


@pytest.mark.parametrize("expecting", [b"", b"Expect: 100-continue\r\n"])
def test_a_large_body_is_refused_before_it_comes(connect, expecting):
    asking = connect(POST + b"Content-Length: 10000000\r\n" + expecting + b"\r\n")
    status, headers, body = answer(asking)  # and not 100
    assert (status, slug(body)) == (413, "request-entity-too-large")
    assert headers["connection"] == "close"


def test_a_body_without_end_is_not_read_for_ever(connect):
    endless = connect(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 100e6:
            endless.sendall(chunk)
            sent += len(chunk)
    assert sent < 50e6


def test_who_stops_at_the_answer_gets_to_read_it(connect):
    """A socket that is closed with unread bytes in it is reset, and its answer is lost."""
    connection = connect(POST + b"Content-Length: 300000\r\n\r\n" + b" " * 300_000)
    time.sleep(0.3)
    assert answer(connection)[0] == 413


def test_the_rest_of_an_unread_body_ends_the_connection(connect):
    connection = connect(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    status, headers, _ = answer(connection)
    assert (status, headers["connection"]) == (404, "close")


def test_idle_connections_make_room(served, connect):
    held = [connect() if number % 2 else connect(HALF_A_HEAD) for number in range(20)]
    newest = connect(LIVEZ)
    assert answer(newest)[0] == 200
    wait_for(lambda: served[0].connection_count() <= 6)
    with contextlib.suppress(ConnectionResetError):
        assert held[0].recv(1) == b""


def test_connections_at_work_do_not_make_room(patient, connect_patiently):
    server, _ = patient
    working = [connect_patiently(POST + b"Content-Length: 2\r\n\r\n{") for _ in range(6)]
    wait_for(lambda: server.connection_count() == 6 and not server._limits.waiting)
    status, headers, body = answer(connect_patiently())
    assert (status, slug(body)) == (503, "too-many-connections")
    assert headers["connection"] == "close"
    assert int(headers["retry-after"]) >= 1
    for connection in working:
        connection.sendall(b"}")
        assert answer(connection)[0] == 422


def test_a_client_that_does_not_read_is_left(served, connect):
    unread = connect(picture_request(1500, "npy"))
    wait_for(lambda: served[0].connection_count() == 1)
    wait_for(lambda: served[0].connection_count() == 0)
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while part := unread.recv(2**20):
            received += len(part)
    assert received < 1500 * 1500 * 12


def test_a_client_that_reads_slowly_gets_all(connect_patiently, app_settings):
    """It takes longer than an idle connection is kept."""
    slow = connect_patiently(picture_request(1500, "npy"))
    with slow.makefile("rb") as stream:
        stream.readline()
        while stream.readline() != b"\r\n":
            pass
        received, began = 0, time.monotonic()
        while received < 1500 * 1500 * 12:
            received += len(stream.read(1_000_000))
            time.sleep(0.1)
    assert time.monotonic() - began > app_settings.keep_alive_seconds


def test_pipelined_requests_are_answered_in_their_order(connect):
    rounds = [picture_request(8, "npy"), LIVEZ, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"]
    with connect(b"".join(rounds) * 5).makefile("rb") as stream:
        answers = [read_answer(stream) for _ in range(15)]
    assert [status for status, _, _ in answers] == [200, 200, 404] * 5
    assert len({answers[number][2] for number in range(0, 15, 3)}) == 1


def test_what_is_no_http_is_told_so_behind_the_answers_before_it(connect):
    with connect(LIVEZ * 3 + b"nonsense\r\n\r\n").makefile("rb") as stream:
        assert [read_answer(stream)[0] for _ in range(4)] == [200, 200, 200, 400]
        assert stream.read() == b""


@pytest.mark.parametrize("piece", [b"a", b"a: b\r\n"], ids=["one field", "many fields"])
def test_a_head_without_end_is_not_read_for_ever(connect, piece):
    status, _, body = answer(connect(b"GET / HTTP/1.1\r\nHost: x\r\nb: " + 2**17 * piece))
    assert (status, slug(body)) == (400, "bad-request")


@pytest.mark.parametrize(
    ("field", "told"),
    [(b"Content-Length: 5", True), (b"X: " + b"a" * 10_000, True), (b"Sec-WebSocket-Key: abc", False)],
    ids=["body", "long field", "short key, of which the library tells"],
)
def test_a_handshake_that_is_none_is_answered_and_counted(served, connect, field, told):
    refused = re.compile(r'^neurocity_rejected_total{reason="bad-request"} (\S+)$', re.M)
    before = refused.findall(served[1].get("/metrics").text)
    upgrade = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", field]
    upgrade += [b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="] if b"Key" not in field else []
    head = b"\r\n".join([b"GET /v1/scenes/sphere/live HTTP/1.1", b"Host: x", *upgrade]) + b"\r\n\r\n"
    connection = connect(head)
    status, _, body = answer(connection)
    assert (status, b"bad-request" in body) == (400, told)
    assert connection.recv(1) == b""
    assert float(refused.findall(served[1].get("/metrics").text)[0]) == sum(map(float, before)) + 1


def test_who_ends_its_half_of_a_connection_has_left(served, connect):
    """Its render is given up, and the connection does not stay."""
    half = connect(picture_request(1500, "png"))
    half.shutdown(socket.SHUT_WR)
    assert half.recv(100) == b""
    wait_for(lambda: served[0].connection_count() == 0)


@pytest.mark.parametrize("data", [b"nonsense", b"GET /livez HTTP/1.1", b"\x16\x03\x01\x02"])
def test_what_is_no_http_is_a_problem(connect, data):
    status, headers, body = answer(connect(data + b"\r\n\r\n"))
    assert (status, slug(body)) == (400, "bad-request")
    assert headers["content-type"] == "application/problem+json"


def test_files_of_the_process_bound_connections(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    assert server_module.allowed_connections(1000) == 256 - server_module.RESERVED_FILES
    assert server_module.allowed_connections(50) == 50
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert server_module.allowed_connections(1000) == 1000


def test_more_silent_connections_than_open_files(tmp_path):
    """A process that may open 256 files answers beside 300 connections, and has nothing to tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as opened:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        try:
            repository = analytic_scene.write_repository(tmp_path, "onnx")
            gateway, url = opened.enter_context(process(repository))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        def connected(data: bytes = b"") -> socket.socket:
            address = (url.host, url.port)
            connection = opened.enter_context(socket.create_connection(address, timeout=PATIENCE))
            connection.sendall(data)
            return connection

        for _ in range(300):
            connected()
        for _ in range(5):
            assert answer(connected(LIVEZ))[0] == 200
        gateway.terminate()
        assert gateway.wait(60) == 0
        log = gateway.stderr.read()
        assert "max_connections=128, of 1000: the limit of open files" in log
        assert log.count("\n") < 20
        assert "Traceback" not in log


def test_an_exhausted_accept_is_one_line(served, caplog):
    server, _ = served
    loop = server._loop
    error = OSError(errno.EMFILE, "Too many open files")
    context = {"message": "socket.accept() out of system resource", "exception": error}
    for _ in range(5):
        server._loop_failure(loop, context)
    server._loop_failure(loop, {"message": "something else"})
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if line.startswith("accept: Too many open files")]) == 1
    assert "something else" in lines


def test_every_address_of_both_kinds():
    try:
        listener = open_listener("::", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://[::]:{port}/"
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port), timeout=5).close()


def test_addresses_of_one_kind_are_known_on_a_listener_of_both(tmp_path):
    """The proxy's and the client's own, in the log."""
    repository = analytic_scene.write_repository(tmp_path, "onnx")
    with process(repository, "--host", "::", "--trusted-proxies", "10.0.0.0/8, 127.0.0.1") as (gateway, url):
        for header in (b"", b"X-Forwarded-For: 192.0.2.7\r\n"):
            with socket.create_connection(("127.0.0.1", url.port), timeout=PATIENCE) as connection:
                connection.sendall(LIVEZ[:-2] + header + b"\r\n")
                assert answer(connection)[0] == 200
        gateway.terminate()
        assert gateway.wait(60) == 0
        assert re.findall(r"client=(\S+)", gateway.stderr.read()) == ["127.0.0.1", "192.0.2.7"]
