"""What belongs into the daemon's folder: the interpreter's library, the daemon, and what the daemon depends on.

Taken from the environment that runs the builder, which is installed from the lock file with hashes. Everything is
compiled without machine paths and in one order, so that two builds are one and the same.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import marshal
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    import types
    from collections.abc import Iterator, Mapping

DISTRIBUTION = "myownllm-mesh"
EXTRA = "daemon"
PACKAGE = "myownmesh"
SOURCES = ("common/mesh_common", "daemon/myownmesh", "bundler/mesh_bundler")
"""The daemon updates itself with the bundler's parts, which a command of its own loads."""
NOT_PACKED = frozenset({"daemon/myownmesh/simulator"})
"""What no daemon runs."""

# Media codecs (104 MB) and SRTP (7 MB), which a data channel never uses: the transport imports around them.
LEFT_OUT = frozenset({"av", "pylibsrtp"})

# Parts of the standard library that a daemon has no use for: development tools, other user interfaces, tests.
_NO_STDLIB = frozenset(
    [
        "__pycache__",
        "config-3",
        "curses",
        "dbm",
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "sqlite3",
        "test",
        "tkinter",
        "turtledemo",
        "turtle",
        "unittest",
        "venv",
        "wsgiref",
        "xmlrpc",
        "cgi",
        "cgitb",
        "doctest",
        "pdb",
        "pydoc",
        "antigravity",
        "this",
        "nntplib",
        "telnetlib",
        "site-packages",
        "lib-dynload",
    ]
)
_NO_EXTENSIONS = re.compile(
    r"_?(curses|curses_panel|dbm|gdbm|tkinter|sqlite3|test\w*|xx\w*|ctypes_test|crypt|nis|ossaudiodev|readline|spwd|lsprof)\."
    r"|_xx|_test|xxlimited"
)
_LICENCE = re.compile(r"\.dist-info/(licenses/.*|(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$")
"""Whoever gets the file gets the terms of what is in it with it: zeroconf's are the LGPL's."""
_HOST_LIBRARIES = re.compile(r"(ld-linux|libc|libm|libpthread|libdl|librt|libutil|libresolv|libnsl|linux-vdso)[.-]")


def dependency_closure() -> list[importlib.metadata.Distribution]:
    """The daemon's distributions, dependencies first by name; the project itself is not among them."""
    found: dict[str, importlib.metadata.Distribution] = {}

    def add(name: str, extras: frozenset[str]) -> None:
        dist = importlib.metadata.distribution(name)
        for text in dist.requires or []:
            requirement = Requirement(text)
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate({"extra": extra}) for extra in extras or {""}
            )
            key = _normal(requirement.name)
            if wanted and key not in found and key not in LEFT_OUT:
                found[key] = importlib.metadata.distribution(requirement.name)
                add(requirement.name, frozenset(requirement.extras))

    add(DISTRIBUTION, frozenset({"", EXTRA}))
    return [found[name] for name in sorted(found)]


def own_modules(source: Path) -> Iterator[tuple[Path, str]]:
    """The files of ours in the checkout that go into a release, with their names there."""
    for package in SOURCES:
        root = source / package
        for path in sorted(root.rglob("*.py")):
            if path.parent.relative_to(source).as_posix() not in NOT_PACKED:
                yield path, path.relative_to(root.parent).as_posix()


def build_folder(target: Path, source: Path, stamp: Mapping[str, object]) -> None:
    """Fill `target` with `py/`, `lib/` and `main.pyc`; `source` is the checkout.

    `stamp` is what the packed daemon knows of its build: `COMMIT` and `DIRTY`, which `--version --json` tells, and for
    its updates `RELEASE_URL_STABLE`, `RELEASE_URL_BETA` and `RELEASE_PUBKEY`.
    """
    py, lib = target / "py", target / "lib"
    py.mkdir(parents=True)
    lib.mkdir()
    for path, name in _stdlib():
        _place(path, py / name, name)
    for path, name in _stdlib_extensions():
        _place(path, py / name, name)
    for dist in dependency_closure():
        for path, name in _distribution_files(dist):
            _place(path, py / name, name)
    for path, name in own_modules(source):
        _place(path, py / name, name)
    lines = "".join(f"{name} = {value!r}\n" for name, value in sorted(stamp.items()))
    build = compile(lines, f"{PACKAGE}/_build.py", "exec", dont_inherit=True)
    (py / PACKAGE / "_build.pyc").write_bytes(_bytecode(build))
    (target / "main.pyc").write_bytes(_compiled(Path(__file__).with_name("main_program.py"), "main.py"))
    _libraries(target, lib)


def strip_and_relocate(target: Path) -> None:
    """Drop symbols and the build machine's paths from every shared object."""
    libraries, prefix = str(sysconfig.get_config_var("LIBDIR") or ""), sys.base_prefix
    for path in sorted(target.rglob("*")):
        if not path.is_file() or not _is_elf(path):
            continue
        path.chmod(0o755)
        subprocess.run(["strip", "--strip-unneeded", str(path)], check=True, stderr=subprocess.DEVNULL)
        data = path.read_bytes()
        up = "../" * (len(path.relative_to(target).parts) - 1)
        data = _run_path(data, libraries, f"$ORIGIN/{up}lib")
        if prefix not in ("/usr", "/usr/local"):
            # Inside longer texts, so no end mark; linkers share the ends of texts, so the last name stays.
            head, _, tail = prefix.rpartition("/")
            data = data.replace(prefix.encode(), f"{'/opt'.ljust(len(head), '/')}/{tail}".encode())
        path.write_bytes(data)


def _run_path(data: bytes, old: str, new: str) -> bytes:
    """Make a library search path relative, without moving anything."""
    if not old or old.encode() not in data:
        return data
    if len(new) > len(old):
        raise SystemExit(f"{old} is too short to be replaced by {new}; build with a Python in a longer folder")
    return data.replace(old.encode() + b"\0", new.encode().ljust(len(old) + 1, b"\0"))


def python_library() -> Path:
    """The interpreter as a shared library, which the runtime is linked against."""
    path = Path(str(sysconfig.get_config_var("LIBDIR"))) / str(sysconfig.get_config_var("INSTSONAME"))
    if not sysconfig.get_config_var("Py_ENABLE_SHARED") or not path.is_file():
        raise SystemExit("the release needs a Python built with --enable-shared")
    return path


def required_glibc(target: Path) -> str:
    """The newest glibc symbol version that any file of the folder asks for."""
    versions = {(2, 17)}
    for path in sorted(target.rglob("*")):
        if path.is_file() and _is_elf(path):
            shown = subprocess.run(
                ["readelf", "-W", "-V", str(path)], capture_output=True, text=True, check=True
            ).stdout
            versions |= {(int(major), int(minor)) for major, minor in re.findall(r"GLIBC_(\d+)\.(\d+)", shown)}
    return ".".join(map(str, max(versions)))


def _stdlib() -> Iterator[tuple[Path, str]]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        parts = name.removesuffix(".py").split("/")
        if parts[0].startswith(("config-", "_sysconfigdata")) or "tests" in parts or "test" in parts:
            continue
        if not _NO_STDLIB & set(parts):
            yield path, name


def _stdlib_extensions() -> Iterator[tuple[Path, str]]:
    for path in sorted((Path(sysconfig.get_path("stdlib")) / "lib-dynload").glob("*.so")):
        if not _NO_EXTENSIONS.match(path.name):
            yield path, path.name


def _distribution_files(dist: importlib.metadata.Distribution) -> Iterator[tuple[Path, str]]:
    """Modules, shared objects, data, and the metadata that programs ask for at run time."""
    for file in sorted(dist.files or [], key=str):
        name, path = str(file), Path(str(dist.locate_file(file)))
        if name.startswith("..") or "__pycache__" in name or not path.is_file():
            continue
        if ".dist-info/" in name:
            if name.endswith("/METADATA") or _LICENCE.search(name):
                yield path, name
        elif not re.search(r"(^|/)(tests?|testing|docs|examples)/|\.(pyi|pyx|pxd|c|h|html|md|rst)$|py\.typed$", name):
            yield path, name


def _place(path: Path, to: Path, name: str) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".py":
        to.with_suffix(".pyc").write_bytes(_compiled(path, name))
    else:
        shutil.copyfile(path, to)


def _compiled(path: Path, name: str) -> bytes:
    """A `.pyc` that is never compared with a source file and names no folder of the build machine."""
    return _bytecode(compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=0))


def _bytecode(code: types.CodeType) -> bytes:
    flags = 0b01  # hash-based, unchecked
    return importlib.util.MAGIC_NUMBER + flags.to_bytes(4, "little") + bytes(8) + marshal.dumps(code)


def _libraries(target: Path, lib: Path) -> None:
    """Shared libraries that extensions need and that not every host has."""
    shutil.copyfile(python_library(), lib / python_library().name)
    seen = {python_library().name}
    objects = [path for path in sorted(target.rglob("*.so*")) if _is_elf(path)]
    for path in objects:
        shown = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
        for name, where in re.findall(r"^\s*(\S+) => (/\S+)", shown, re.MULTILINE):
            inside = Path(where).resolve().is_relative_to(target.resolve())
            if name in seen or inside or _HOST_LIBRARIES.match(name):
                continue
            seen.add(name)
            shutil.copyfile(where, lib / name)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print("\n".join(f"{dist.name} {dist.version}" for dist in dependency_closure()), file=sys.stdout)
