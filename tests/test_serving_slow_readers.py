"""Clients that do not read their pictures take up memory, which is counted until they do or leave."""

import socket
from contextlib import ExitStack

from gateway_server import running_server
from test_serving_faults import ScriptedEngine
from waiting import PATIENCE, wait_for

from serving.app import create_app
from serving.render.admission import BYTES_PER_PIXEL, Admission, Budget
from serving.render.answers import Answers
from serving.settings import Settings

SIDE = 512
MAKING, ANSWER = SIDE**2 * BYTES_PER_PIXEL, SIDE**2 * 12
SETTINGS = Settings(
    memory_bytes=MAKING + int(3.5 * ANSWER),
    cache_bytes=0,
    queue_seconds=60,
    request_timeout_seconds=PATIENCE,
)


def ask(client, fov):
    """A connection that asked for a picture of 3 MiB and has read the beginning of the answer; its status."""
    connection = socket.socket()
    connection.settimeout(PATIENCE)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((client.base_url.host, client.base_url.port))
    query = f"eye=3,0,0&target=0,0,0&width={SIDE}&height={SIDE}&fov={fov}"
    connection.sendall(f"GET /v1/scenes/sphere/render.npy?{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return connection, int(connection.recv(12).split()[1])


def test_answers_that_nobody_reads_are_counted_until_they_are_read_or_given_up():
    app = create_app(SETTINGS, ScriptedEngine())
    with running_server(app, SETTINGS) as (server, client), ExitStack() as connections:
        service = app.state.gateway.service
        asked = [ask(client, fov) for fov in range(30, 36)]
        for connection, _ in asked:
            connections.enter_context(connection)
        assert [status for _, status in asked] == [200] * 4 + [503] * 2
        assert 4 * ANSWER < service.reserved_bytes() < 4 * ANSWER + 4096
        first, second = asked[0][0], asked[1][0]
        first.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        whole = b""
        while len(whole) < ANSWER:
            whole += first.recv(2**20)
        wait_for(lambda: service.reserved_bytes() < 4 * ANSWER)
        assert whole.endswith(whole[-12:] * 100)  # a picture of one colour has come to its end
        second.close()
        wait_for(lambda: service.reserved_bytes() < 3 * ANSWER)
        again, status = ask(client, 40)
        assert status == 200
        for connection, _ in [*asked, (again, 0)]:
            connection.close()
        wait_for(lambda: service.reserved_bytes() == 0 and not server.server_state.tasks)


def test_an_answer_that_many_read_is_there_once():
    admission = Admission(Budget(), 1)
    answers, data = Answers(admission), b"picture"
    with answers.holding(data):
        with answers.holding(data), answers.holding(b"other"):
            assert admission.reserved_bytes() == 12
        assert admission.reserved_bytes() == 7
    assert admission.reserved_bytes() == 0
    assert not answers._readers
