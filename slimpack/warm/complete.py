"""Whether a verification has looked at all that it should."""

from __future__ import annotations

from slimpack.config import VerifyConfig
from slimpack.verify.model import Verification


def is_complete(verification: Verification | None, config: VerifyConfig) -> bool:
    """Tell whether another would prove no more: nothing was missing on this machine."""
    if not config.enabled or config.sandbox == "none":
        return True
    if verification is None or not verification.sandbox:
        return False
    smoke = next((one for one in verification.results if one.name == "smoke"), None)
    # A test of the user's may have waited for a GPU that is not here.
    return not any(test.gpu for test in config.smoke) or bool(smoke and not smoke.findings)
