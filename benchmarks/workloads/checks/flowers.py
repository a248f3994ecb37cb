"""The applications that classify irises, called in both ways."""

import json
import urllib.error
import urllib.request

from main import app

from checks import equal, expect, raises
from checks.serving import call, served

FLOWER = {"sepal_length": 6.3, "sepal_width": 3.3, "petal_length": 6.0, "petal_width": 2.5}


def application():
    status, body = call(app, "POST", "/predict", FLOWER)
    equal((status, json.loads(body)["species"]), (200, "virginica"))
    status, body = call(app, "POST", "/predict", {**FLOWER, "sepal_width": -1})
    equal((status, json.loads(body)["detail"][0]["type"]), (422, "greater_than"))
    equal(call(app, "GET", "/nothing")[0], 404)
    status, body = call(app, "GET", "/openapi.json")
    expect("/predict" in json.loads(body)["paths"])
    status, body = call(app, "GET", "/docs")
    expect(status == 200 and b"swagger" in body)


def server():
    with served(app) as address:
        request = urllib.request.Request(
            f"{address}/predict", json.dumps(FLOWER).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            equal(json.load(answer)["species"], "virginica")
        raises(urllib.error.HTTPError, urllib.request.urlopen, f"{address}/nothing")


CHECKS = (application, server)
