"""Requests that are wrong in some way: each has the right answer, and nothing is left of them."""

import asyncio
import json
import threading
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import analytic_scene
import pytest
from fuzzed_requests import Fuzzed, fuzzed
from test_serving_drain import process
from waiting import PATIENCE

AT_ONCE = 8
LEAKS = (b"Traceback", b"site-packages", b"/tmp/", b"/home/", b"/root/")
NO_ANSWER = 0


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    """A process whose memory can be measured, and its address; its log must hold no fault."""
    monkeypatch.setenv("NEUROCITY_MAX_PIXELS", "4096")
    monkeypatch.setenv("NEUROCITY_REQUEST_TIMEOUT_SECONDS", "1")
    repository = analytic_scene.write_repository(tmp_path, "onnx")
    with process(repository) as (gateway, url):
        log: list[str] = []
        reader = threading.Thread(target=lambda: log.extend(gateway.stderr))  # a full pipe would stop it
        reader.start()
        yield gateway, url
        gateway.terminate()
        assert gateway.wait(PATIENCE) == 0
        reader.join()
        assert len(log) > 100
        assert not [line for line in log if "Traceback" in line or len(line) > 4000]


async def ask(port: int, request: Fuzzed) -> tuple[int, bytes]:
    """Status and body of the answer; a status of 0 when there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        async with asyncio.timeout(60):
            writer.write(request.data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
            body = b"" if request.head else await reader.readexactly(int(fields.get("content-length", 0)))
    except (asyncio.IncompleteReadError, ConnectionError):
        return NO_ANSWER, b""
    finally:
        writer.close()
    status = int(head.split()[1])
    if status >= 400 and not request.head:
        assert fields["content-type"] == "application/problem+json", (request, head)
        assert json.loads(body)["status"] == status
        assert len(body) < 8 * 2**10, "answers do not grow with requests"
    return status, body


async def judge(port: int, requests: list[Fuzzed]) -> Counter[tuple[str, int]]:
    """How often each kind of request got each status; fails for a wrong one."""
    seen, left = Counter(), iter(requests)

    async def client() -> None:
        for request in left:
            status, body = await ask(port, request)
            assert status in request.right, (status, body[:300], request.kind, request.data[:600])
            assert not [word for word in LEAKS if word in body], body
            seen[request.kind, status] += 1

    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    return seen


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_every_request_has_its_answer(gateway):
    _, url = gateway
    seen = asyncio.run(judge(url.port, list(islice(fuzzed(Random(1)), 300))))
    assert {status for _, status in seen} >= {200, 400, 404, 405, 408, 422}


@pytest.mark.slow
@pytest.mark.nightly
def test_ten_thousand_requests_leave_no_memory(gateway):
    process, url = gateway
    requests = fuzzed(Random(2))
    asyncio.run(judge(url.port, list(islice(requests, 3000))))
    warm = resident_bytes(process.pid)
    seen = asyncio.run(judge(url.port, list(islice(requests, 7000))))
    grown = resident_bytes(process.pid) / warm - 1
    print(f"{grown:.1%} of {warm / 2**20:.0f} MiB", sorted(seen.items()))
    assert grown < 0.05
    assert len({kind for kind, status in seen if status == 200}) == 6, "some of each kind are but strange"
