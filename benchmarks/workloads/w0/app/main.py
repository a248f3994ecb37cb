"""Shortens links over HTTP: POST /links, GET /CODE, GET /health. They are kept in SQLite."""

import base64
import hashlib
import os
import sqlite3
from threading import Lock

from fastapi import FastAPI, HTTPException
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, HttpUrl

app = FastAPI(title="short links")
# Of this process alone unless LINKS_DATABASE names a file: the image itself is never written to.
database = sqlite3.connect(os.environ.get("LINKS_DATABASE", ":memory:"), check_same_thread=False)
database.execute(
    "CREATE TABLE IF NOT EXISTS links (code TEXT PRIMARY KEY, url TEXT NOT NULL, visits INTEGER)"
)
lock = Lock()


class NewLink(BaseModel):
    """What is shortened."""

    url: HttpUrl


class Link(BaseModel):
    """A link with its code: GET /CODE goes there."""

    code: str
    url: str
    visits: int


@app.get("/health")
def health() -> dict[str, object]:
    """Tell that the service is up, and as whom it runs."""
    return {"status": "ok", "uid": os.getuid(), "gid": os.getgid()}


@app.post("/links")
def shorten(new: NewLink) -> Link:
    """Keep a link; one that is known already keeps its code."""
    url = str(new.url)
    code = base64.urlsafe_b64encode(hashlib.sha256(url.encode()).digest())[:8].decode()
    with lock, database:
        database.execute("INSERT OR IGNORE INTO links VALUES (?, ?, 0)", (code, url))
        row = database.execute("SELECT code, url, visits FROM links WHERE code = ?", (code,))
        return Link(**dict(zip(("code", "url", "visits"), row.fetchone())))


@app.get("/{code}")
def follow(code: str) -> RedirectResponse:
    """Go where a link leads."""
    with lock, database:
        row = database.execute("SELECT url FROM links WHERE code = ?", (code,)).fetchone()
        if row is None:
            raise HTTPException(404, "no such link")
        database.execute("UPDATE links SET visits = visits + 1 WHERE code = ?", (code,))
    return RedirectResponse(row[0])
