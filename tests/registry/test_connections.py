"""TLS, plain HTTP, proxies, and lists: how a registry is reached and asked."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimpack.errors import InputError, RegistryError
from slimpack.registry.connecting import Registries
from slimpack.registry.connections import Connections
from slimpack.registry.failures import PassingError, RefusalError
from slimpack.registry.parallel import run_all
from slimpack.registry.retry import Retry, StoppedError
from tests.registry.conftest import Anybody, Sessions
from tests.registry.fake import Fake, cut_download, digest_of, serving, status
from tests.registry.tls import Certificates, make_certificates

# A name that nobody has (RFC 2606).
ELSEWHERE = "registry.example:5000"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificates: Certificates) -> Iterator[Fake]:
    with serving(Fake(), certificates.server()) as running:
        running.add("app", b"content")
        yield running


def has(registries: Registries, host: str) -> bool:
    return registries.of(host).has_blob("app", digest_of(b"content")) == len(b"content")


def opened(insecure: bool = False) -> Registries:
    return Registries(keychain=Anybody(None), insecure=insecure, retry=Retry(pause=0, tries=2))


def test_a_certificate_that_nobody_vouches_for(secure: Fake) -> None:
    with pytest.raises(RegistryError, match="its certificate is not trusted") as caught:
        has(opened(), secure.host)
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not isinstance(caught.value, PassingError)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_ca_of_the_environment(
    secure: Fake, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(certificates.ca))
    assert has(opened(), secure.host)


@pytest.mark.parametrize("folder", [".docker/certs.d", ".config/containers/certs.d"])
def test_a_ca_for_one_host(
    secure: Fake, certificates: Certificates, own_home: Path, folder: str
) -> None:
    place = own_home / folder / secure.host
    place.mkdir(parents=True)
    (place / "ca.crt").write_bytes(certificates.ca.read_bytes())
    assert has(opened(), secure.host)


def test_a_client_certificate(secure: Fake, certificates: Certificates, own_home: Path) -> None:
    context = certificates.server()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca)
    with serving(Fake(), context) as asking:
        asking.add("app", b"content")
        place = own_home / ".docker/certs.d" / asking.host
        place.mkdir(parents=True)
        (place / "ca.crt").write_bytes(certificates.ca.read_bytes())
        with pytest.raises(RegistryError):
            has(opened(), asking.host)
        (place / "client.cert").write_bytes(certificates.certificate.read_bytes())
        (place / "client.key").write_bytes(certificates.key.read_bytes())
        assert has(opened(), asking.host)


@pytest.mark.parametrize(("name", "message"), [("ca.crt", "no cert"), ("x.cert", "the client")])
def test_bad_certificates_are_named(secure: Fake, own_home: Path, name: str, message: str) -> None:
    place = own_home / ".docker/certs.d" / secure.host
    place.mkdir(parents=True)
    (place / name).write_text("nonsense")
    with pytest.raises(InputError, match=f"{name}: {message}"):
        has(opened(), secure.host)


def test_insecure_looks_at_no_certificate(secure: Fake) -> None:
    assert has(opened(insecure=True), secure.host)


def test_plain_http_on_this_machine_needs_no_option(fake: Fake) -> None:
    fake.add("app", b"content")
    assert has(opened(), fake.host)
    assert has(opened(), fake.host.replace("127.0.0.1", "localhost"))


def test_plain_http_elsewhere_does(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is not loopback, by the way of a proxy that is."""
    fake.add("app", b"content")
    monkeypatch.setenv("http_proxy", f"http://{fake.host}")
    monkeypatch.setenv("https_proxy", f"http://{fake.host}")
    fake.on("CONNECT", "", status(403), times=99)
    with pytest.raises(PassingError, match=f"connecting to {ELSEWHERE}"):
        has(opened(), ELSEWHERE)
    assert fake.asked("GET") == []
    # A request to a proxy has the whole address in it.
    ping = f"http://{ELSEWHERE}/v2/"
    fake.on("GET", "^http:", lambda handler: handler.answer(200, b"{}"))
    fake.on("HEAD", "^http:", lambda handler: handler.answer(200, b"content"))
    assert has(opened(insecure=True), ELSEWHERE)
    assert [one.path for one in fake.asked("GET")] == [ping]


def test_plain_http_elsewhere_is_named(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without TLS that is taken for one elsewhere."""
    monkeypatch.setattr("slimpack.registry.connecting.is_loopback", lambda host: False)
    with pytest.raises(PassingError, match="does not speak TLS") as caught:
        has(opened(), fake.host)
    assert str(caught.value).count(fake.host) == 1
    assert "--insecure" in caught.value.hint


def test_a_proxy_with_a_password(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:pass%20word@{fake.host}")
    fake.on("GET", "^http:", lambda handler: handler.answer(200, b"{}"))
    fake.on("HEAD", "^http:", status(404))
    registry = opened(insecure=True)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert registry.of(ELSEWHERE).has_blob("app", digest_of(b"")) is None
    sent = fake.asked("HEAD")[0].headers
    assert sent["proxy-authorization"] == "Basic bWU6cGFzcyB3b3Jk"


def test_no_proxy(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    fake.add("app", b"content")
    assert has(opened(), fake.host)
    monkeypatch.setenv("no_proxy", "registry.example")
    pool = Connections().pool("http://registry.example/")
    assert pool.proxy is None
    assert Connections().pool("http://other.example/").proxy is not None


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "http://[::1"])
def test_a_proxy_that_cannot_be(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(InputError, match="the proxy for https:// cannot be used"):
        has(opened(), ELSEWHERE)


def test_docker_hub_is_asked_where_it_answers(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    """docker.io itself is a web site."""
    monkeypatch.setenv("https_proxy", f"http://{fake.host}")
    fake.on("CONNECT", "", status(403), times=99)
    with pytest.raises(PassingError, match=r"connecting to docker.io: registry-1.docker.io"):
        has(opened(), "docker.io")
    assert {one.path for one in fake.asked("CONNECT")} == {"registry-1.docker.io:443"}


def test_nobody_is_there() -> None:
    with pytest.raises(PassingError, match=r"connecting to 127.0.0.1:9") as caught:
        has(opened(), "127.0.0.1:9")
    assert "check the network" in caught.value.hint


def test_a_netrc_is_not_looked_at(fake: Fake, own_home: Path) -> None:
    netrc = own_home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password pass-word-9\n")
    netrc.chmod(0o600)
    has(opened(), fake.host)
    assert {one.authorization for one in fake.seen} == {""}


# Lists


def test_tags_of_many_pages(fake: Fake, registries: Registries) -> None:
    wanted = [f"t{number}" for number in range(7)]
    for tag in wanted:
        fake.put("app", tag, b"{}", "x")
    assert registries.of(fake.host).tags("app") == wanted
    assert len(fake.asked("GET", "tags/list")) == 4


def test_pages_without_end(fake: Fake, registries: Registries) -> None:
    link = '</v2/app/tags/list?n=1>; rel="next"'
    fake.on("GET", "tags/list", lambda h: h.answer(200, b'{"tags": []}', Link=link), times=9999)
    with pytest.raises(RegistryError, match="more than 1000 pages"):
        registries.of(fake.host).tags("app")


def test_small_blobs(fake: Fake, registries: Registries) -> None:
    registry = registries.of(fake.host)
    digest = registry.upload_bytes("app", b"some text")
    registry.upload_bytes("app", b"some text")
    assert len(fake.asked("PUT")) == 1
    assert registry.read_blob("app", digest) == b"some text"
    with pytest.raises(RegistryError, match="larger than 4 bytes"):
        registry.read_blob("app", digest, 4)


def test_mount(fake: Fake, registries: Registries) -> None:
    registry = registries.of(fake.host)
    digest = fake.add("base", b"x")
    assert registry.mount("app", digest, "base")
    assert registry.has_blob("app", digest) == 1
    assert not registry.mount("app", digest_of(b"y"), "base")


def test_deleting(fake: Fake, registries: Registries) -> None:
    registry = registries.of(fake.host)
    digest = fake.put("app", "1", b"{}", "x")
    registry.delete_manifest("app", digest)
    with pytest.raises(RefusalError) as caught:
        registry.delete_manifest("app", digest)
    assert caught.value.status == 404


def test_a_large_answer_is_not_read(fake: Fake, registries: Registries) -> None:
    fake.put("app", "1", b" " * (4 << 20) + b"{}", "x")
    with pytest.raises(RegistryError, match=r"larger than 4194304 bytes"):
        registries.of(fake.host).get_manifest("app", "1")


def test_a_large_error_is_not_told(fake: Fake, registries: Registries) -> None:
    fake.on("GET", "/manifests/", status(400, "X" * 1000, Odd="\t"))
    with pytest.raises(RegistryError) as caught:
        registries.of(fake.host).get_manifest("app", "1")
    assert len(caught.value.message) < 500


def test_control_characters_are_not_told(fake: Fake, registries: Registries) -> None:
    fake.on("GET", "/manifests/", status(400, "a\x1b[31mb\n"))
    with pytest.raises(RegistryError, match=r"\(a \[31mb "):
        registries.of(fake.host).get_manifest("app", "1")


def test_a_stream_that_breaks_tells_so(fake: Fake, registries: Registries) -> None:
    digest = fake.add("app", b"0123456789")
    fake.on("GET", "/blobs/", cut_download(b"0123456789", 4))
    with pytest.raises(PassingError, match="the connection broke off"):
        registries.of(fake.host).open_blob("app", digest).read()
    assert registries.of(fake.host).open_blob("app", digest, 4).read() == b"456789"


def test_stopping_wakes_who_waits(fake: Fake, sessions: Sessions) -> None:
    registries = sessions(pause=30.0, longest=30.0)
    registries.of(fake.host).tags("app")
    fake.on("GET", "/manifests/", status(503), times=99)
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            registries.of(fake.host).get_manifest("app", "1")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while not fake.asked("GET", "/manifests/"):
        pass
    registries.stop()
    thread.join()
    assert [type(error) for error in failed] == [StoppedError]


# Several at once


def test_the_first_error_stops_the_rest() -> None:
    begun: list[int] = []
    stopped = threading.Event()

    def job(number: int) -> None:
        begun.append(number)
        if number == 1:
            raise ValueError("wrong")
        stopped.wait()

    jobs = [lambda number=number: job(number) for number in range(20)]
    with pytest.raises(ValueError, match="wrong"):
        run_all(jobs, stop=stopped.set, workers=3)
    assert len(begun) < 20


def test_an_interrupt_stops_all() -> None:
    stopped = threading.Event()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_all([interrupt] * 3, stop=stopped.set, workers=1)
    assert stopped.is_set()


def test_nothing_to_do() -> None:
    run_all([], stop=lambda: None)
