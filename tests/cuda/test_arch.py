from __future__ import annotations

import pytest

from slimpack.cuda.arch import Arch, device_number, promise


@pytest.mark.parametrize(
    ("name", "number"), [("sm_90", 90), ("sm_90a", 90), ("sm_100f", 100), ("sm_121", 121)]
)
def test_names(name: str, number: int) -> None:
    assert device_number(name) == number
    assert Arch(90, "a").name == "sm_90a"


@pytest.mark.parametrize(
    "name", ["", "90", "sm_", "sm_9", "sm_90b", "sm_0900", "compute_90", "h100", "sm_90 ", "SM_90"]
)
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="expected an architecture such as 'sm_90'"):
        device_number(name)


@pytest.mark.parametrize(
    ("arch", "device", "cubin", "ptx"),
    [
        (Arch(80), 80, True, True),
        (Arch(80), 86, True, True),
        (Arch(86), 80, False, False),
        (Arch(80), 90, False, True),
        (Arch(75), 121, False, True),
        (Arch(90, "a"), 90, True, True),
        (Arch(100, "a"), 103, False, False),
        (Arch(100, "f"), 100, True, True),
        (Arch(100, "f"), 103, True, True),
        (Arch(103, "f"), 100, False, False),
        (Arch(100, "f"), 120, False, False),
    ],
)
def test_what_runs_where(arch: Arch, device: int, cubin: bool, ptx: bool) -> None:
    assert arch.may_run_on(device, ptx=False) is cubin
    assert arch.may_run_on(device, ptx=True) is ptx


def test_what_is_promised() -> None:
    assert promise((80, 90), verified=False) == (
        "GPU code for sm_80, sm_90 only; not verified on a GPU"
    )
    assert promise((90,), verified=True) == "GPU code for sm_90 only; verified on a GPU"
