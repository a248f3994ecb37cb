"""fastapi, starlette, pydantic, uvicorn; and how applications are called, with a server or not."""

import asyncio
import json
import threading
import time
import urllib.request
from contextlib import contextmanager

import uvicorn
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from checks import equal, expect, raises


def call(application, method, path, body=None):
    """One request without a server, by the ASGI specification; returns status and body.

    body: bytes as they are, anything else as JSON.
    """
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"test"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    sent = []
    asked = []

    async def receive():
        asked.append(True)
        if len(asked) > 1:
            # The client stays until it has its answer: it neither sends more nor goes away.
            await asyncio.Event().wait()
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


@contextmanager
def served(application):
    """Run a server of uvicorn's on a port of loopback; gives its address."""
    settings = uvicorn.Config(application, host="127.0.0.1", port=0, log_level="warning")
    running = uvicorn.Server(settings)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    limit = time.monotonic() + 30
    while not running.started:
        expect(thread.is_alive() and time.monotonic() < limit, "uvicorn did not start")
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join(30)
    expect(not thread.is_alive(), "uvicorn did not stop")


def framework():
    made = FastAPI()
    done = []

    class Item(BaseModel):
        name: str = Field(min_length=2)
        tags: list[str] = []

    def page(limit: int = Query(default=3, le=9)) -> int:
        return limit

    @made.get("/items/{number}")
    async def read(number: int, tasks: BackgroundTasks, limit: int = Depends(page)):
        if number == 0:
            raise HTTPException(404, "none")
        tasks.add_task(done.append, number)
        return {"number": number, "limit": limit}

    @made.post("/items", status_code=201, response_model=Item)
    def create(item: Item):
        return item

    @made.get("/page", response_class=HTMLResponse)
    def html():
        return "<p>hello</p>"

    @made.get("/stream")
    def stream():
        return StreamingResponse(iter([b"a", b"b"]))

    equal(call(made, "GET", "/items/7?limit=5"), (200, b'{"number":7,"limit":5}'))
    equal(done, [7])
    equal(call(made, "GET", "/items/0")[0], 404)
    equal(call(made, "GET", "/items/x")[0], 422)
    equal(call(made, "POST", "/items", {"name": "ab"}), (201, b'{"name":"ab","tags":[]}'))
    equal(call(made, "GET", "/page"), (200, b"<p>hello</p>"))
    equal(call(made, "GET", "/stream"), (200, b"ab"))


def models():
    numbers = TypeAdapter(dict[str, list[int]])
    equal(numbers.validate_json('{"a": ["1", 2]}'), {"a": [1, 2]})
    raises(ValidationError, numbers.validate_python, {"a": ["x"]})
    equal(numbers.json_schema()["type"], "object")


def server():
    made = FastAPI()

    @made.post("/sum")
    def add(numbers: list[int]) -> int:
        return sum(numbers)

    with served(made) as address:
        request = urllib.request.Request(
            f"{address}/sum", b"[1, 2]", {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            equal(json.load(answer), 3)
        with urllib.request.urlopen(f"{address}/docs", timeout=30) as answer:
            expect(b"swagger" in answer.read())


CHECKS = (framework, models, server)
