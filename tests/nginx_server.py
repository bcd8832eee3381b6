"""Runs a real nginx with the configuration that the project ships, in front of gateways of a test."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from waiting import PATIENCE

from deploy.ports import free_port

SHIPPED = Path(__file__).parents[1] / "deploy" / "nginx" / "neurocity.conf"
PREFIX = "/city"
"""What the configuration takes away from paths."""
PORTS = ("8001", "8002")
"""The gateways' ports in the configuration."""

MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/neurocity.conf;
}}
"""


@contextlib.contextmanager
def nginx(folder: Path, gateways: Sequence[int]) -> Iterator[str]:
    """The address of nginx with the prefix, in front of the two gateways on these ports.

    folder: is filled with its files. Skips the test where nginx is not installed.
    """
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        pytest.skip("nginx is not installed (Debian: apt install nginx-light)")
    port = free_port()
    text = SHIPPED.read_text()
    changes = [("listen 80;", f"listen 127.0.0.1:{port};")]
    changes += [
        (f"127.0.0.1:{shown} ", f"127.0.0.1:{used} ") for shown, used in zip(PORTS, gateways, strict=True)
    ]
    for shown, used in changes:
        assert shown in text, shown
        text = text.replace(shown, used)
    (folder / "neurocity.conf").write_text(text)
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(MAIN.format(user=user, folder=folder))
    with subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf", "-e", "stderr"]) as process:
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with (
                    contextlib.suppress(ConnectionRefusedError),
                    socket.create_connection(("127.0.0.1", port)),
                ):
                    break
                assert process.poll() is None, "nginx did not start"
                assert time.monotonic() < end
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}{PREFIX}"
        finally:
            process.terminate()
