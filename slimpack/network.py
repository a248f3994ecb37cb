"""Why a connection failed, in words."""

from __future__ import annotations

import ssl

_WORDS = {
    "NameResolutionError": "the name of the host is not known",
    "NewConnectionError": "no connection",
    "ConnectionRefusedError": "nobody listens there (connection refused)",
    "ConnectTimeoutError": "no connection in time",
    "ReadTimeoutError": "no answer in time",
    "IncompleteRead": "the connection broke off",
    "RemoteDisconnected": "the connection broke off",
    "ConnectionResetError": "the connection broke off",
    "BrokenPipeError": "the connection broke off",
}

NO_TLS = "what answers there does not speak TLS"
# What OpenSSL, by its version, calls an answer that is no TLS record, such as one of HTTP.
_NO_RECORD = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "PACKET_LENGTH_TOO_LONG",
    "UNKNOWN_PROTOCOL",
)


def reason(error: BaseException) -> str:
    """Say in a few words why a connection failed, without addresses or stacks.

    Libraries wrap the cause in several exceptions; the innermost one counts.
    """
    inner = error
    seen = {id(inner)}
    while True:
        causes = [getattr(inner, "reason", None), *inner.args]
        deeper = next((cause for cause in causes if isinstance(cause, BaseException)), None)
        if deeper is None or id(deeper) in seen:
            break
        inner = deeper
        seen.add(id(inner))
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({inner.verify_message})"
    if isinstance(inner, ssl.SSLError):
        return NO_TLS if inner.reason in _NO_RECORD else f"TLS failed ({inner.reason})"
    name = type(inner).__name__
    return _WORDS.get(name, name)
