"""py-rattler-build, the tool that conda-forge uses, reads what the channel builder wrote."""

from __future__ import annotations

from pathlib import Path

from rattler_build.package import Package

from benchmarks.channel import PLACEHOLDER, write_conda


def test_rattler_build_reads_our_packages(tmp_path: Path) -> None:
    path = write_conda(
        tmp_path,
        name="peer",
        version="1.2",
        build="py311h0_3",
        build_number=3,
        files={"lib/x.txt": PLACEHOLDER, "bin/y": "2"},
        depends=["python >=3.11"],
        constrains=["other >=2"],
        license="MIT",
    )
    package = Package.from_file(path)
    assert (package.name, package.version, package.build_string) == ("peer", "1.2", "py311h0_3")
    assert (package.build_number, package.subdir, package.license) == (3, "linux-64", "MIT")
    assert package.depends == ["python >=3.11"]
    assert package.constrains == ["other >=2"]
    assert sorted(package.files) == ["bin/y", "lib/x.txt"]


def test_rattler_build_reads_our_noarch_packages(tmp_path: Path) -> None:
    path = write_conda(
        tmp_path,
        name="pure",
        noarch="python",
        files={"site-packages/pure.py": ""},
        entry_points=["pure = pure:main"],
    )
    package = Package.from_file(path)
    assert (package.noarch, package.subdir) == ("python", "noarch")
    assert package.files == ["site-packages/pure.py"]
