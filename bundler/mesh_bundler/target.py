"""Which machine the daemon is for: facts about a host, or a triple, to a platform and its asset (spec 09 §4).

Pure; `host` gathers the facts.
"""

from __future__ import annotations

from dataclasses import dataclass

from mesh_bundler.errors import Exit, Refused
from mesh_common.semver import SemVer

MIN_GLIBC = (2, 35)
"""The reference's Linux builds are made on a base with this libc."""
WINDOWS_X64_EMULATION_BUILD = 22_000
"""First Windows on ARM that runs x86_64 programs."""


@dataclass(frozen=True, slots=True)
class Platform:
    """One column of a release: what the asset is called and what its executable must look like."""

    name: str
    triple: str
    format: str  # "elf" | "macho" | "pe"
    arch: str
    libc: str | None  # "glibc" | "musl" (static builds too) | None
    since: str  # first tag of the reference's releases that has this asset

    @property
    def extension(self) -> str:
        return "zip" if self.format == "pe" else "tar.gz"

    @property
    def exe(self) -> str:
        return ".exe" if self.format == "pe" else ""

    def asset(self, name: str = "myownmesh", template: str = "{name}-{platform}.{ext}") -> str:
        """File name of the release archive."""
        return template.format(name=name, platform=self.name, ext=self.extension)


PLATFORMS = {
    platform.name: platform
    for platform in (
        Platform("linux-x86_64", "x86_64-unknown-linux-gnu", "elf", "x86_64", "glibc", "v0.1.0"),
        Platform("linux-aarch64", "aarch64-unknown-linux-gnu", "elf", "aarch64", "glibc", "v0.1.0"),
        Platform("linux-aarch64-musl", "aarch64-unknown-linux-musl", "elf", "aarch64", "musl", "v0.2.28"),
        Platform("linux-riscv64", "riscv64gc-unknown-linux-musl", "elf", "riscv64", "musl", "v0.2.16"),
        Platform("macos-aarch64", "aarch64-apple-darwin", "macho", "aarch64", None, "v0.1.0"),
        Platform("macos-x86_64", "x86_64-apple-darwin", "macho", "x86_64", None, "v0.1.0"),
        Platform("windows-x86_64", "x86_64-pc-windows-msvc", "pe", "x86_64", None, "v0.1.0"),
    )
}

_BY_TRIPLE = {platform.triple: platform for platform in PLATFORMS.values()} | {
    "riscv64gc-unknown-linux-gnu": PLATFORMS["linux-riscv64"],  # a static build runs under any libc
    "x86_64-pc-windows-gnu": PLATFORMS["windows-x86_64"],
}

_ARCHES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "riscv64": "riscv64",
}


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What `host.gather` found out about the machine that runs the bundler."""

    sys_platform: str
    machine: str
    pointer_bits: int = 64
    libc: str | None = None  # "glibc" | "musl" | None
    libc_version: str | None = None
    rosetta: bool = False
    processor_architew6432: str | None = None  # the real machine behind a 32-bit Windows process
    windows_build: int | None = None
    android: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted: the slot is named by `triple`, the download by `platform`."""

    triple: str
    platform: Platform
    notes: tuple[str, ...] = ()

    def slot_name(self, name: str = "myownmesh", *, plain: bool = False) -> str:
        """File name in the packager's folder; `plain` is the name inside a finished bundle."""
        return slot_name(self.triple, name, plain=plain)


def slot_name(triple: str, name: str = "myownmesh", *, plain: bool = False) -> str:
    """`myownmesh-<triple>`, with `.exe` exactly when the triple is one of Windows."""
    return (name if plain else f"{name}-{triple}") + (".exe" if "windows" in triple else "")


def target_of_triple(triple: str) -> Target:
    """The target that was named. Raises `no_asset_for_target`."""
    platform = _BY_TRIPLE.get(triple)
    if platform is None:
        raise _refusal("no_asset_for_target", f"There is no daemon build for the target {triple!r}.")
    return Target(triple, platform)


def detect(facts: HostFacts) -> Target:
    """The target that this host is. Raises `Refused` with exit 5 when no build fits it."""
    system = facts.sys_platform
    if facts.android or not system.startswith(("linux", "darwin", "win32", "cygwin")):
        raise _refusal("unsupported_os", f"There is no daemon build for the operating system {system!r}.")
    if system.startswith("linux"):
        return _detect_linux(facts)
    if system.startswith("darwin"):
        if facts.rosetta:
            return _target("macos-aarch64", "rosetta_process")
        arch = _arch(facts.machine)
        if arch not in ("x86_64", "aarch64"):
            raise _bad_arch(facts.machine)
        return _target(f"macos-{arch}")
    machine = facts.processor_architew6432 or facts.machine
    arch = _arch(machine)
    if arch == "x86_64":
        return _target("windows-x86_64")
    if arch == "aarch64" and (facts.windows_build or 0) >= WINDOWS_X64_EMULATION_BUILD:
        return _target("windows-x86_64", "x86_64_emulation")
    raise _bad_arch(machine)


def _detect_linux(facts: HostFacts) -> Target:
    arch = _arch(facts.machine)
    if arch is None:
        raise _bad_arch(facts.machine)
    if facts.pointer_bits != 64:
        raise _refusal("userland_32bit", f"This is a 32-bit userland on a {arch} kernel; the daemon needs 64 bits.")
    if arch == "riscv64":
        return _target("linux-riscv64")
    modern = facts.libc == "glibc" and _version(facts.libc_version) >= MIN_GLIBC
    if arch == "aarch64":
        if modern:
            return _target("linux-aarch64")
        return _target("linux-aarch64-musl", "musl" if facts.libc == "musl" else "static_fallback")
    if modern:
        return _target("linux-x86_64")
    if facts.libc == "glibc":
        want = ".".join(map(str, MIN_GLIBC))
        raise _refusal(
            "libc_too_old",
            f"This system has glibc {facts.libc_version or 'unknown'}; the daemon needs {want} or newer.",
        )
    raise _refusal("unsupported_libc", f"This system's libc ({facts.libc or 'unknown'}) has no x86_64 daemon build.")


def check_availability(platform: Platform, tag: SemVer) -> None:
    """Refuse a tag that is older than the first release with this asset (reference releases only)."""
    first = SemVer.parse(platform.since.removeprefix("v"))
    if first is not None and tag.precedence < first.precedence:
        raise Refused(
            "asset_not_in_release",
            Exit.TARGET,
            f"Release v{tag} has no build for {platform.name}; the first one that has is {platform.since}.",
            hint=f"Pin {platform.since} or newer for this target.",
            since=platform.since,
            platform=platform.name,
        )


def _arch(machine: str) -> str | None:
    return _ARCHES.get(machine.lower())


def _version(text: str | None) -> tuple[int, ...]:
    fields = (text or "0").split(".")[:2]
    return tuple(int(field) if field.isdecimal() else 0 for field in fields)


def _target(name: str, *notes: str) -> Target:
    platform = PLATFORMS[name]
    return Target(platform.triple, platform, notes)


def _bad_arch(machine: str) -> Refused:
    return _refusal("unsupported_arch", f"There is no daemon build for the processor {machine!r} on this system.")


def _refusal(code: str, message: str) -> Refused:
    return Refused(
        code,
        Exit.TARGET,
        message,
        hint="Builds exist for: " + ", ".join(PLATFORMS) + ". Name one with --target.",
    )
