"""Python's standard library, as services use it."""

import array
import asyncio
import bz2
import concurrent.futures
import csv
import ctypes
import decimal
import email.message
import email.policy
import gzip
import hashlib
import http.client
import http.server
import io
import json
import logging.handlers
import lzma
import os
import queue
import sqlite3
import ssl
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.request
import uuid
import zipfile
import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from xml.etree import ElementTree
from zoneinfo import ZoneInfo

import tomllib

from checks import close, equal, expect, raises

TEXT = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 50


def texts():
    equal(json.loads(json.dumps({"a": [1, None, "é"]})), {"a": [1, None, "é"]})
    equal(tomllib.loads('a = 1979-05-27\nb = ["x"]')["b"], ["x"])
    rows = list(csv.DictReader(io.StringIO("a;b\n1;'2;3'\n"), delimiter=";", quotechar="'"))
    equal(rows, [{"a": "1", "b": "2;3"}])
    tree = ElementTree.fromstring("<a><b c='1'>x</b><b c='2'/></a>")
    equal([one.get("c") for one in tree.iter("b")], ["1", "2"])
    raises(ElementTree.ParseError, ElementTree.fromstring, "<a>")
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = "Größe"
    message.set_content("x")
    message.add_attachment(b"1,2", maintype="text", subtype="csv", filename="t.csv")
    expect(b"=?utf-8?" in message.as_bytes() and b"t.csv" in message.as_bytes())
    for codec in ("utf-16", "latin-1", "cp1252", "iso8859-15", "idna", "punycode"):
        equal("crêpe".encode(codec).decode(codec), "crêpe")
    for codec in ("shift_jis", "gb18030", "euc_kr", "big5"):
        equal("中".encode(codec).decode(codec), "中")


def numbers_and_times():
    equal(decimal.Decimal("0.1") + decimal.Decimal("0.2"), decimal.Decimal("0.3"))
    paris = datetime(2024, 3, 31, 1, 30, tzinfo=timezone.utc).astimezone(ZoneInfo("Europe/Paris"))
    equal((paris.hour, paris.utcoffset()), (3, timedelta(hours=2)))
    equal(datetime.fromisoformat("2024-02-28T23:00:00Z") + timedelta(hours=1) > paris, False)
    equal(uuid.uuid5(uuid.NAMESPACE_DNS, "python.org").hex, "886313e13b8a53729b900c9aee199e5d")
    equal(array.array("d", [1.0, 2.0]).tobytes()[-2:], b"\x00@")


def compression():
    data = TEXT.encode()
    for pack, unpack in (
        (zlib.compress, zlib.decompress), (gzip.compress, gzip.decompress),
        (bz2.compress, bz2.decompress), (lzma.compress, lzma.decompress),
    ):  # fmt: skip
        packed = pack(data)
        expect(len(packed) < len(data) / 5)
        equal(unpack(packed), data)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.txt")
        file.write_text(TEXT)
        with zipfile.ZipFile(f"{folder}/a.zip", "w", zipfile.ZIP_LZMA) as archive:
            archive.write(file, "a.txt")
        equal(zipfile.ZipFile(f"{folder}/a.zip").read("a.txt"), data)
        with tarfile.open(f"{folder}/a.tar.xz", "w:xz") as archive:
            archive.add(file, "a.txt")
        with tarfile.open(f"{folder}/a.tar.xz") as archive:
            equal(archive.extractfile("a.txt").read(), data)


def digests_and_certificates():
    equal(hashlib.sha256(b"abc").hexdigest()[:16], "ba7816bf8f01cfea")
    equal(hashlib.new("sha3_512", b"").hexdigest()[:16], "a69f73cca23a9ac5")
    equal(hashlib.blake2b(b"abc", digest_size=4).hexdigest(), "63906248")
    equal(len(hashlib.scrypt(b"x", salt=b"y", n=16, r=8, p=1)), 64)
    context = ssl.create_default_context()
    expect(context.cert_store_stats()["x509_ca"] > 50, "authorities are missing")
    expect(ssl.OPENSSL_VERSION.startswith("OpenSSL 3"))
    # A handshake with nobody: the client's first message names the server and its protocols.
    context.set_alpn_protocols(["http/1.1"])
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="example.org")
    raises(ssl.SSLWantReadError, client.do_handshake)
    expect(b"example.org" in sent.read())


def databases():
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE VIRTUAL TABLE pages USING fts5(body)")
        pages = [(line,) for line in ("the cat sat", "a dog", "cats and dogs")]
        database.executemany("INSERT INTO pages VALUES (?)", pages)
        found = database.execute("SELECT count(*) FROM pages WHERE pages MATCH 'cat* OR dog'")
        equal(found.fetchone()[0], 3)
        (value,) = database.execute("""SELECT json_extract('{"a": [1, 2]}', '$.a[1]')""").fetchone()
        equal(value, 2)
    raises(sqlite3.OperationalError, database.execute, "SELECT nothing FROM nowhere")


def processes_and_threads():
    code = "import sys; print(sys.stdin.read().upper(), end='')"
    done = subprocess.run([sys.executable, "-c", code], input="x", capture_output=True, text=True)
    equal((done.returncode, done.stdout, done.stderr), (0, "X", ""))
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        equal(list(pool.map(len, ["a", "bb", "ccc"])), [1, 2, 3])
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        equal(list(pool.map(abs, [-1, 2, -3])), [1, 2, 3])

    async def gathered():
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "print(7)", stdout=asyncio.subprocess.PIPE
        )
        (out, _), _ = await asyncio.gather(process.communicate(), asyncio.sleep(0.01))
        async with asyncio.timeout(10):
            return int(out)

    equal(asyncio.run(gathered()), 7)
    records = queue.Queue()
    logger = logging.getLogger("checks")
    logger.addHandler(logging.handlers.QueueHandler(records))
    logger.warning("seen %d", 1)
    equal(records.get_nowait().getMessage(), "seen 1")


def native_code():
    libc = ctypes.CDLL(None)
    equal(libc.abs(-3), 3)
    kind = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int)
    )
    values = (ctypes.c_int * 3)(3, 1, 2)
    libc.qsort(values, 3, ctypes.sizeof(ctypes.c_int), kind(lambda a, b: a[0] - b[0]))
    equal(list(values), [1, 2, 3])
    close(float.fromhex("0x1.8p1"), 3.0)
    expect(os.cpu_count() >= 1)


def network():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_):
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        host, port = server.server_address
        with urllib.request.urlopen(f"http://{host}:{port}/a?b=1", timeout=30) as answer:
            equal(answer.read(), b"/a?b=1")
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.request("GET", "/c")
        equal(connection.getresponse().read(), b"/c")
        connection.close()
        server.shutdown()
        thread.join(30)


CHECKS = (
    *(texts, numbers_and_times, compression, digests_and_certificates, databases),
    *(processes_and_threads, native_code, network),
)
