"""A desktop application: a local page in the user's browser, the model in this very process, no server to install.

python desktop_app.py [--no-browser]
"""

from __future__ import annotations

import json
import sys
import webbrowser
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from candlewick import LLM, GenerationParams, ResponseToken

PAGE = """<!doctype html><meta charset="utf-8"><title>Notes</title>
<style>body{font:16px system-ui;max-width:40rem;margin:3rem auto}textarea{width:100%;height:8rem}</style>
<h1>Notes</h1><textarea id="note" aria-label="note">Once upon a time</textarea>
<p><button id="go">Go on</button></p><output id="answer"></output>
<script>
document.getElementById("go").onclick = async () => {
  const answer = document.getElementById("answer"); answer.textContent = "";
  const note = document.getElementById("note").value;
  const reply = await fetch("/answer", {method: "POST", body: JSON.stringify({note})});
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part; !(part = await reader.read()).done;) answer.textContent += part.value;
};
</script>"""


class Window(BaseHTTPRequestHandler):
    """The page, and the model's answers as they come."""

    llm: LLM

    def do_GET(self) -> None:
        self._begin("text/html; charset=utf-8")
        self.wfile.write(PAGE.encode())

    def do_POST(self) -> None:
        note = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["note"]
        self._begin("text/plain; charset=utf-8")
        messages = [{"role": "user", "content": note}]
        # A closed window ends the writing, and with it the generation.
        with closing(
            self.llm.chat(messages, params=GenerationParams(max_tokens=200), thinking="no_think")
        ) as events:
            for event in events:
                if isinstance(event, ResponseToken):
                    self.wfile.write(event.text.encode())
                    self.wfile.flush()

    def _begin(self, content_type: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """A desktop application has no log on the terminal."""


def open_window(llm: LLM) -> ThreadingHTTPServer:
    """A window that only this machine can see, on a free port."""
    Window.llm = llm
    return ThreadingHTTPServer(("127.0.0.1", 0), Window)


if __name__ == "__main__":
    with LLM() as llm, open_window(llm) as window:
        address = f"http://127.0.0.1:{window.server_port}/"
        print(f"Notes is open at {address}", flush=True)
        if "--no-browser" not in sys.argv:
            webbrowser.open(address)
        window.serve_forever()
