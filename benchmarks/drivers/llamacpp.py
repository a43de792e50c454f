"""llama.cpp through its server, which keeps the last prompt: a second question finds the picture in it."""

from __future__ import annotations

import base64
import json
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.drivers.common import Driver, Job, Values, check_count, end_with_parent, run

STAMP = re.compile(r"(\d+)\.(\d+)\.(\d+)\.(\d+) ")
"""Minutes, seconds, milliseconds, microseconds at the start of a line of the server's log."""


class LlamaServer(Driver):
    """A running server; `model` is a folder with model.gguf and mmproj.gguf.

    Many are asked one after the other, which lets the server keep a picture: its slots would each encode it
    again.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        folder = Path(job.model)
        command = [
            f"{job.options['binaries']}/llama-server",
            *("-m", str(folder / "model.gguf"), "--mmproj", str(folder / "mmproj.gguf")),
            *("-t", str(job.threads), "-tb", str(job.threads), "-c", "2048", "-np", "1"),
            *("--cache-ram", "0", "--port", str(self._port), "-lv", "4"),
        ]
        self._log = tempfile.NamedTemporaryFile("w+b", suffix=".log")  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=self._log,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - no threads here
        )
        self.pid = self._process.pid
        while not self._healthy():
            if self._process.poll() is not None:
                raise RuntimeError(Path(self._log.name).read_text(errors="replace")[-2000:])
            time.sleep(0.01)

    def ask(self, picture: str, question: str) -> Values:
        """Answer; the vision time stands in the log, the others in the response."""
        heard = Path(self._log.name).stat().st_size
        url = "data:image/png;base64," + base64.b64encode(Path(picture).read_bytes()).decode()
        parts = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": question}]
        most = self.job.new_tokens
        answer = self._post(
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": parts}], "max_tokens": most, "temperature": 0}
            | {"ignore_eos": True, "cache_prompt": True, "id_slot": 0},
        )
        check_count(answer["usage"]["completion_tokens"], self.job)
        with Path(self._log.name).open("rb") as log:
            log.seek(heard)
            vision = vision_seconds(log.read().decode(errors="replace"))
        first = answer["timings"]["prompt_ms"] / 1e3
        return {
            "vision_s": vision,
            "prefill_s": first - vision,
            "first_token_s": first,
            "decode_tokens_per_s": answer["timings"]["predicted_per_second"],
            "prompt_tokens": answer["usage"]["prompt_tokens"],
        }

    def close(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _healthy(self) -> bool:
        try:
            return bool(self._post("/health")["status"] == "ok")
        except (urllib.error.URLError, ConnectionError):
            return False

    def _post(self, path: str, data: dict[str, Any] | None = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}{path}", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=900) as response:
            return json.loads(response.read())


def vision_seconds(log: str) -> float:
    """Seconds between the lines that tell of a picture being encoded and being read; 0 where it was kept."""
    times = {"encoding mtmd batch": 0.0, "decoding image batch": 0.0}
    for line in log.splitlines():
        for said, at in times.items():
            if said in line and not at and (stamp := STAMP.match(line)):
                minutes, seconds, milli, micro = map(int, stamp.groups())
                times[said] = 60 * minutes + seconds + milli / 1e3 + micro / 1e6
    began, ended = times.values()
    return ended - began if began and ended else 0.0


if __name__ == "__main__":
    run(LlamaServer)
