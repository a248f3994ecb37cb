"""Wheels become conda packages: layout, scripts, metadata."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from benchmarks.channel import wheel
from benchmarks.channel.conda_format import PLACEHOLDER
from benchmarks.channel.errors import ChannelError

METADATA = """\
Metadata-Version: 2.4
Name: demo
Version: 1.0
Summary: A demo
License-Expression: MIT
Requires-Python: >=3.9
Requires-Dist: click>=8
Requires-Dist: h11
Project-URL: Homepage, https://demo.example
"""
ENTRY_POINTS = """\
[console_scripts]
Demo = demo.cli:main
old = demo.cli:Tool.run [extra]

[demo.plugins]
x = demo:x
"""


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    files = {
        "demo/__init__.py": "",
        "demo-1.0.data/scripts/run-demo": "#!python\nprint(1)\n",
        "demo-1.0.data/data/share/demo/x.txt": "x",
        "demo-1.0.data/headers/demo.h": "",
        "demo-1.0.dist-info/METADATA": METADATA,
        "demo-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n",
        "demo-1.0.dist-info/entry_points.txt": ENTRY_POINTS,
        "demo-1.0.dist-info/licenses/LICENSE": "MIT text",
        "demo-1.0.dist-info/RECORD": "demo/__init__.py,,\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_metadata_is_read(demo: Path) -> None:
    info = wheel.read_wheel(demo)
    assert (info.version, info.pure, info.platform, info.license) == ("1.0", True, "any", "MIT")
    assert info.requires == ("click>=8", "h11")
    assert str(info.requires_python) == ">=3.9"
    assert info.entry_points == ("Demo = demo.cli:main", "old = demo.cli:Tool.run")
    assert info.license_files == {"LICENSE": b"MIT text"}
    assert info.about == {"summary": "A demo", "home": "https://demo.example"}


def test_a_pure_wheel_gets_the_noarch_layout(demo: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    wheel.stage_wheel(demo, root, wheel.Layout.noarch(), "3.11")
    found = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert {
        "site-packages/demo/__init__.py",
        "python-scripts/run-demo",
        "share/demo/x.txt",
        "include/python3.11/demo/demo.h",
        "site-packages/demo-1.0.dist-info/INSTALLER",
    } <= found
    script = root / "python-scripts/run-demo"
    assert script.read_text() == f"#!{PLACEHOLDER}/bin/python3.11\nprint(1)\n"
    assert script.stat().st_mode & 0o111
    record = (root / "site-packages/demo-1.0.dist-info/RECORD").read_text()
    assert record.startswith("demo-1.0.dist-info/INSTALLER,sha256=")


def test_the_arch_layout_has_final_folders(demo: Path, tmp_path: Path) -> None:
    wheel.stage_wheel(demo, tmp_path / "root", wheel.Layout.arch("3.11"), "3.11")
    assert (tmp_path / "root/lib/python3.11/site-packages/demo/__init__.py").is_file()
    assert (tmp_path / "root/bin/run-demo").is_file()


def test_entry_point_scripts_call_the_function() -> None:
    script = wheel.entry_point_script("old = demo.cli:Tool.run", "3.11")
    assert script.startswith(f"#!{PLACEHOLDER}/bin/python3.11\n")
    assert "from demo.cli import Tool\n" in script
    assert "sys.exit(Tool.run())" in script
    compile(script, "old", "exec")


def test_unknown_data_and_odd_wheels_are_refused(tmp_path: Path) -> None:
    layout = wheel.Layout.noarch()
    with pytest.raises(ChannelError, match="unknown kind of data"):
        wheel.place("demo-1.0.data/odd/x", "demo-1.0.dist-info", layout, "3.11")
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("x.py", "")
        with pytest.raises(ChannelError, match=r"0 \.dist-info folders"):
            wheel.dist_info(archive)
