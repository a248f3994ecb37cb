"""The application that tells languages, called in both ways."""

import json
import urllib.error
import urllib.request

from main import app, languages

from checks import close, equal, expect, raises
from checks.serving import call, served

# None of them is in the corpus.
TEXTS = {
    "de": "Wir suchen eine Wohnung mit Balkon in der Nähe des Parks.",
    "en": "We are looking for a flat with a balcony near the park.",
    "es": "Buscamos un piso con balcón cerca del parque.",
    "fr": "Nous cherchons un appartement avec un balcon près du parc.",
    "it": "Cerchiamo un appartamento con balcone vicino al parco.",
    "nl": "Wij zoeken een woning met een balkon in de buurt van het park.",
}


def application():
    equal(sorted(TEXTS), languages)
    for language, text in TEXTS.items():
        status, body = call(app, "POST", "/predict", {"text": text})
        answer = json.loads(body)
        equal((status, answer["language"]), (200, language))
        close(sum(answer["probabilities"].values()), 1.0, 1e-3)
    status, body = call(app, "POST", "/predict", {"text": "日本語 " * 2000})
    equal(status, 200)
    status, body = call(app, "POST", "/predict", {"text": ""})
    equal((status, json.loads(body)["detail"][0]["type"]), (422, "string_too_short"))
    status, body = call(app, "GET", "/openapi.json")
    expect("/predict" in json.loads(body)["paths"])


def server():
    with served(app) as address:
        request = urllib.request.Request(
            f"{address}/predict",
            json.dumps({"text": TEXTS["de"]}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            equal(json.load(answer)["language"], "de")
        raises(urllib.error.HTTPError, urllib.request.urlopen, f"{address}/nothing")


CHECKS = (application, server)
