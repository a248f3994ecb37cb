"""The application that shortens links, called in both ways."""

import json
import urllib.error
import urllib.request

from main import app

from checks import equal, expect, raises
from checks.serving import call, served

URL = "https://example.org/articles?page=2"
CODE = "Wc-TvhDM"


def application():
    status, body = call(app, "POST", "/links", {"url": URL})
    equal((status, json.loads(body)["code"]), (200, CODE))
    visits = json.loads(body)["visits"]
    equal(call(app, "GET", f"/{CODE}")[0], 307)
    body = call(app, "POST", "/links", {"url": URL})[1]
    equal(json.loads(body), {"code": CODE, "url": URL, "visits": visits + 1})
    status, body = call(app, "POST", "/links", {"url": "no address"})
    equal((status, json.loads(body)["detail"][0]["type"]), (422, "url_parsing"))
    equal(call(app, "GET", "/unknown")[0], 404)
    status, body = call(app, "GET", "/openapi.json")
    expect("/links" in json.loads(body)["paths"])


def server():
    headers = {"Content-Type": "application/json"}
    with served(app) as address:
        data = json.dumps({"url": f"{address}/health"}).encode()
        request = urllib.request.Request(f"{address}/links", data, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            code = json.load(answer)["code"]
        with urllib.request.urlopen(f"{address}/{code}", timeout=30) as answer:
            equal(json.load(answer)["status"], "ok")
        raises(urllib.error.HTTPError, urllib.request.urlopen, f"{address}/unknown")


CHECKS = (application, server)
