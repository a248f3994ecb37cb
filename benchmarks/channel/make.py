"""Make one package from its plan: stage the files, derive the metadata, pack."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.channel import bytecode, cpython, cuda, elf, generated, names, native, source, wheel
from benchmarks.channel.conda_format import Metadata, pack, write_files
from benchmarks.channel.errors import ChannelError
from benchmarks.channel.fetch import cached
from benchmarks.channel.plan import Plan
from benchmarks.channel.recipes import Channel, Platform

# Debian 12's glibc, to which its binaries and what gcc makes here are linked.
_GLIBC = "__glibc >=2.36,<3.0.a0"


@dataclass(frozen=True)
class Workshop:
    """What every package is made with."""

    channel: Channel
    platform: Platform
    cache: Path
    patchelf: Path
    plans: Mapping[str, Plan]
    jobs: int = 1

    @property
    def known_names(self) -> dict[str, str]:
        """Conda names that differ from those on PyPI."""
        return {r.pypi: r.package_name for r in self.channel.of_kind("wheel") if r.pypi}

    def providers(self) -> dict[str, Plan]:
        """Return the package that provides a shared library, by soname."""
        return {s: self.plans[r.name] for r in self.channel.recipes for s in r.sonames}


@dataclass(frozen=True)
class Staged:
    """What staging found out, beyond the files."""

    depends: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    license: str = ""
    license_files: Mapping[str, bytes] | None = None
    about: Mapping[str, str] | None = None


def make_package(
    plan: Plan, shop: Workshop, interpreter: bytecode.Interpreter | None, out_dir: Path
) -> Path:
    """Make a package file in ``out_dir``."""
    with tempfile.TemporaryDirectory(dir=shop.cache / "work", prefix=f"{plan.recipe.name}-") as tmp:
        root, scratch = Path(tmp, "root"), Path(tmp, "scratch")
        root.mkdir()
        staged = stage(plan, shop, root, scratch)
        if plan.needs_interpreter:
            assert interpreter is not None
            bytecode.compile_tree(root, interpreter)
        return pack(metadata(plan, shop, staged, root), root, out_dir, level=plan.recipe.level)


def stage(plan: Plan, shop: Workshop, root: Path, scratch: Path) -> Staged:
    """Fill ``root`` with the files of a package."""
    recipe, python = plan.recipe, shop.channel.python
    debs = [cached(shop.cache, pin) for pin in plan.debs]
    archives = [cached(shop.cache, pin) for pin in plan.source]
    if recipe.kind == "wheel":
        return stage_wheel(plan, shop, root)
    if recipe.kind == "cuda":
        return stage_cuda(plan, shop, root)
    if recipe.kind == "debian":
        licenses = native.stage_debian(recipe, debs, root, scratch, shop.platform, shop.patchelf)
        return Staged(license_files=licenses)
    if recipe.kind == "python":
        licenses = cpython.stage_python(
            recipe, debs, archives, root, scratch, python, shop.platform, shop.patchelf
        )
        return Staged(license_files=licenses)
    if recipe.kind == "python-source":
        licenses = source.stage_python_source(
            debs, archives, root, scratch, python, shop.platform, shop.patchelf, shop.jobs
        )
        return Staged(license_files=licenses)
    generated.stage_generated(recipe, plan.version, root)
    return Staged()


def stage_wheel(plan: Plan, shop: Workshop, root: Path) -> Staged:
    """Unpack a wheel and read its metadata."""
    ((_, pin),) = plan.wheels.items()
    path, python = cached(shop.cache, pin), shop.channel.python
    info = wheel.read_wheel(path)
    environment = names.marker_environment(python, shop.platform.machine)
    requires = names.leave_out(info.requires, plan.recipe.without)
    depends = names.conda_dependencies(requires, shop.known_names, environment, plan.recipe.extras)
    layout = wheel.Layout.noarch() if plan.noarch else wheel.Layout.arch(python)
    wheel.stage_wheel(path, root, layout, python)
    write_files(root, plan.recipe.text)
    if plan.noarch:
        needs = names.conda_version_spec(info.requires_python)
        depends.append(f"python {needs}".strip())
    else:
        floor = names.glibc_floor(info.platform)
        abi = f"cp{python.replace('.', '')}"
        depends += [
            f"__glibc >={floor},<3.0.a0",
            f"python >={python},<{names.next_minor(python)}.0a0",
            f"python_abi {python}.* *_{abi}",
        ]
        for entry_point in info.entry_points:
            script = root / "bin" / entry_point.partition("=")[0].strip()
            script.parent.mkdir(exist_ok=True)
            script.write_text(wheel.entry_point_script(entry_point, python))
            script.chmod(0o755)
        elf.set_rpaths(root, shop.patchelf)
    return Staged(
        depends=tuple(depends),
        entry_points=info.entry_points if plan.noarch else (),
        license=info.license,
        license_files=info.license_files,
        about=info.about,
    )


def stage_cuda(plan: Plan, shop: Workshop, root: Path) -> Staged:
    """Lay out the libraries of one of NVIDIA's wheels as conda-forge does."""
    ((_, pin),) = plan.wheels.items()
    path = cached(shop.cache, pin)
    cuda.stage_cuda(plan.recipe, path, plan.version, root, shop.patchelf)
    info = wheel.read_wheel(path)
    floor = names.glibc_floor(info.platform)
    return Staged(
        depends=() if plan.noarch else (f"__glibc >={floor},<3.0.a0",),
        license=cuda.LICENSE,
        license_files=info.license_files,
        about=info.about,
    )


def metadata(plan: Plan, shop: Workshop, staged: Staged, root: Path) -> Metadata:
    """Put together what the recipe says, what the sources say and what the files need."""
    recipe, python = plan.recipe, shop.channel.python
    depends = [*staged.depends, *fill(recipe.depends, plan)]
    run_exports: dict[str, Sequence[str]] = {}
    if recipe.run_exports:
        run_exports["weak"] = fill(recipe.run_exports, plan)
    if not plan.noarch:
        depends += library_depends(plan, shop, root)
    native_program = recipe.kind == "generated" and bool(recipe.programs)
    if (recipe.kind == "debian" and not plan.noarch) or native_program:
        depends.append(_GLIBC)
    if recipe.name == "python":
        depends.append(_GLIBC)
        run_exports["weak"] = [f"python_abi {python}.* *_cp{python.replace('.', '')}"]
        run_exports["noarch"] = ["python"]
    about = {"summary": recipe.summary, **(staged.about or {})}
    return Metadata(
        name=recipe.package_name,
        version=plan.version,
        build=plan.build,
        build_number=recipe.build_number,
        subdir=plan.subdir,
        noarch=plan.noarch,
        depends=tuple(sorted(set(depends))),
        constrains=tuple(fill(recipe.constrains, plan)),
        entry_points=staged.entry_points,
        run_exports=run_exports,
        license=recipe.license or staged.license,
        license_files=staged.license_files or {},
        about=about,
    )


def fill(specs: Sequence[str], plan: Plan) -> list[str]:
    """Put the version of a package into its specs."""
    return [spec.replace("{version}", plan.version) for spec in specs]


def library_depends(plan: Plan, shop: Workshop, root: Path) -> list[str]:
    """Dependencies for the libraries that the files need, as the providers' run_exports say.

    A library that nobody provides is an error: it would come from the host by chance, or be
    missing in the image.
    """
    providers = shop.providers()
    found: list[str] = []
    needed = elf.foreign_sonames(root) - elf.DRIVER_SONAMES - set(plan.recipe.unresolved)
    for soname in sorted(needed):
        if soname not in providers:
            raise ChannelError(
                f"{plan.recipe.name} needs {soname}, which no package provides: "
                "add it to sonames of a [debian] or [cuda] package in packages.toml"
            )
        provider = providers[soname]
        found += fill(provider.recipe.run_exports, provider) or [provider.recipe.package_name]
    return found
