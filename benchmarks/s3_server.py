"""Real S3 servers, of a wheel each: rclone's, whose buckets are folders and whose objects are files, and
SeaweedFS's.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.ports import free_ports

KEY, SECRET = "nobodys-key", "nobodys-secret"
STARTED = re.compile(r"Starting s3 server on \[(http://127\.0\.0\.1:(\d+))/\]")


@dataclass(frozen=True)
class S3Server:
    """process: for who kills it."""

    url: str
    port: int
    process: subprocess.Popen

    def environment(self, key: str = KEY, secret: str = SECRET) -> dict[str, str]:
        """The variables that have a process use this server."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }


@contextmanager
def running_s3(folder: Path, port: int = 0, secret: str = SECRET) -> Iterator[S3Server]:
    """The server with what is in the folder, until the context ends."""
    program = Path(sys.executable).with_name("rclone")
    command = [program, "serve", "s3", "--auth-key", f"{KEY},{secret}", "--addr", f"127.0.0.1:{port}"]
    # No configuration of the user's.
    command += ["--config", os.devnull, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := STARTED.search(line):
                    yield S3Server(found[1], int(found[2]), process)
                    return
            raise AssertionError(f"rclone ended:\n{''.join(lines)}")
        finally:
            process.kill()
            with contextlib.suppress(ValueError):
                process.stderr.close()


@contextmanager
def running_seaweedfs(folder: Path) -> Iterator[S3Server]:
    """SeaweedFS's server, whose bits lie in the folder in a form of its own, until the context ends.

    Raises SystemExit when it ends by itself, or takes no connection within a minute.
    """
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    parts = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(parts))
    command = [Path(sys.executable).with_name("weed"), "server", f"-dir={folder}", "-ip=127.0.0.1"]
    command += [
        "-ip.bind=127.0.0.1",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=8",
        "-volume.minFreeSpace=0",
    ]
    command += ["-s3", "-s3.port.lance=0", "-s3.port.iceberg=0", f"-s3.config={folder / 's3.json'}"]
    for part, port, inner in zip(parts, ports[::2], ports[1::2], strict=True):
        command += [f"-{part}.port={port}", f"-{part}.port.grpc={inner}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(process, ports[-2])
            yield S3Server(f"http://127.0.0.1:{ports[-2]}", ports[-2], process)
        finally:
            process.kill()


def _wait_for(process: subprocess.Popen, port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"{process.args[0]} ended with code {process.returncode}")
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit(f"nobody listens on port {port} within a minute")
