"""Step 0 of a run: arguments, environment and files become one value (spec 09 §4.2, §5 row 0, §8.3).

Reads the pin, the lock file and the configuration; writes nothing, asks no network. Everything here must import fast:
`check` and `cache-key` go no further.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mesh_bundler import host
from mesh_bundler.errors import Exit, Refused
from mesh_bundler.feed import Feed
from mesh_bundler.lockfile import LOCK_MAX_BYTES, out_of_date, parse_lock, unusable_lock
from mesh_bundler.messages import offline_miss, unusable_pin
from mesh_bundler.policy import LEVELS, Policy
from mesh_bundler.settings import Settings, load_settings
from mesh_bundler.slot import Slot
from mesh_bundler.target import check_availability, detect, slot_name, target_of_triple
from mesh_common.files import read_regular
from mesh_common.pins import NoPin, Pin, PinError, parse_pin, read_pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh_bundler.lockfile import Lock, LockEntry
    from mesh_bundler.policy import Level
    from mesh_bundler.request import EnsureRequest
    from mesh_bundler.target import Target
    from mesh_common.versions import SiblingPolicy

_TARGET_VARIABLES = ("TARGET", "CARGO_BUILD_TARGET", "TAURI_ENV_TARGET_TRIPLE")
_TOKEN_VARIABLES = ("MYOWNMESH_GITHUB_TOKEN", "GH_TOKEN", "GITHUB_TOKEN")
PACKAGED_KEYS: tuple[str, ...] = ()
"""Minisign keys of releases; empty until a release key exists."""
REVOKED_KEYS: frozenset[str] = frozenset()
"""Key ids that are refused even when somebody trusts them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The request with every question of configuration answered."""

    request: EnsureRequest
    settings: Settings
    pin: Pin | NoPin
    target: Target
    runnable: bool  # whether a binary for the target can run on this machine
    slot: Slot
    lock: Lock | None
    policy: Policy
    feed: Feed
    override: tuple[str, str] | None  # (variable or switch, path)
    sibling_paths: tuple[Path, ...]
    offline: bool
    token: str | None

    @property
    def asset(self) -> str:
        return self.target.platform.asset(self.settings.name, self.settings.asset_template)

    @property
    def member(self) -> str:
        """Name of the wanted file inside the archive."""
        return self.settings.program + self.target.platform.exe

    @property
    def lock_entry(self) -> LockEntry | None:
        return None if self.lock is None else self.lock.assets.get(self.target.platform.name)

    @property
    def cache_key(self) -> str:
        """One line that changes whenever another file would be staged (spec 09 §9)."""
        entry = self.lock_entry
        revision = "-" if isinstance(self.pin, NoPin) else self.pin.tag or self.pin.commit or "-"
        lines = ("1", self.target.triple, revision, "-" if entry is None else entry.sha256)
        digest = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:32]
        return f"{self.settings.name}-{self.target.platform.name}-{digest}"

    def offline_miss(self, tag: str) -> Refused:
        """What to say when the asset is needed and there is no network."""
        digest = None if self.lock_entry is None else self.lock_entry.sha256
        folder = self.request.seed_dir or Path("seed")
        return offline_miss(self.asset, self.feed.urls(tag, self.asset).archive, digest, str(folder))

    def trusted_keys(self) -> tuple[str, ...]:
        """minisign public keys, base64: packaged, configured, from the environment."""
        named = self.request.env.get("MYOWNMESH_TRUSTED_KEYS", "").split()
        return tuple(dict.fromkeys((*PACKAGED_KEYS, *self.settings.trusted_keys, *named)))


def make_plan(request: EnsureRequest, *, check: bool = False, ignore_lock: bool = False) -> Plan:
    """Answer every question of configuration. Raises `Refused` with exit 2, 3 or 5.

    `check`: a lock for another pin is "not current" (exit 11), not an error of the pin. `ignore_lock`: it is about to
    be written anew.
    """
    env, root = request.env, request.repo_root
    settings = Settings() if root is None else load_settings(root, request.tool)
    require = _require(request, settings)
    skip = _skip(request, settings)
    target, runnable = _target(request)
    pin = _pin(request, settings)
    lock = None if ignore_lock else _lock(root, settings, pin, check=check)
    override = _override(request, settings)
    feed = _feed(request, settings)
    if isinstance(pin, Pin) and pin.version is not None and feed.is_reference and skip is None and override is None:
        check_availability(target.platform, pin.version)
    dest = _dest(request, settings)
    file_name = slot_name(target.triple, settings.name, plain=request.plain_name)
    return Plan(
        request=request,
        settings=settings,
        pin=pin,
        target=target,
        runnable=runnable,
        slot=Slot(dest, target.triple, file_name, settings.name),
        lock=lock,
        policy=_policy(request, settings, lock, require=require, skip=skip),
        feed=feed,
        override=override,
        sibling_paths=() if root is None else _sibling_paths(request, settings, root, target, runnable=runnable),
        offline=request.offline or env.get("MYOWNMESH_OFFLINE", "") not in ("", "0"),
        token=_token(env),
    )


def _token(env: Mapping[str, str]) -> str | None:
    for name in _TOKEN_VARIABLES:
        if token := env.get(name, "").strip():
            if not (token.isascii() and token.isprintable()):
                raise Refused(
                    "bad_variable",
                    Exit.USAGE,
                    f"The variable {name} is no token: it holds characters that no header can.",
                    hint=f"Correct {name} or unset it, then run again.",
                    variable=name,
                )
            return token
    return None


def _require(request: EnsureRequest, settings: Settings) -> bool:
    if request.require and request.dev:
        raise Refused("contradiction", Exit.USAGE, "--require and --dev exclude each other.", hint="Drop one of them.")
    env = request.env
    asked = request.require or any(env.get(name, "") not in ("", "0") for name in settings.require_env)
    return asked or (
        bool(env.get("CI")) and env.get("CI") != "false" and not request.dev and request.repo_root is not None
    )


def _skip(request: EnsureRequest, settings: Settings) -> str | None:
    if request.skip:
        return "--skip"
    if request.repo_root is None:  # an app at run time; the variables speak to builds
        return None
    return next((name for name in settings.skip_env if name in request.env), None)


def _target(request: EnsureRequest) -> tuple[Target, bool]:
    variables = () if request.repo_root is None else _TARGET_VARIABLES  # those speak to builds
    named = request.target or next((request.env[name] for name in variables if request.env.get(name)), None)
    if named is None:
        return detect(host.gather()), True
    target = target_of_triple(named)
    try:
        here = detect(host.gather())
    except Refused:
        return target, False
    fits = target.platform.name == here.platform.name or (
        # a static build runs under every libc of its processor
        (target.platform.format, target.platform.arch) == (here.platform.format, here.platform.arch)
        and target.platform.libc == "musl"
    )
    return target, fits


def _pin(request: EnsureRequest, settings: Settings) -> Pin | NoPin:
    try:
        if request.pin is not None:
            return parse_pin(request.pin.encode())
        if request.repo_root is None:
            return NoPin("missing_file")
        return read_pin(request.repo_root / (request.pin_file or settings.pin_file))
    except PinError as error:
        raise unusable_pin(error) from None


def _lock(root: Path | None, settings: Settings, pin: Pin | NoPin, *, check: bool) -> Lock | None:
    if root is None:
        return None
    try:
        lock = parse_lock(read_regular(root / settings.lock_file, LOCK_MAX_BYTES + 1))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unusable_lock("lock_malformed", f"{settings.lock_file} cannot be read ({error.strerror})") from None
    wanted = None if isinstance(pin, NoPin) else pin.tag or pin.commit
    if wanted is not None and lock.pin != wanted:
        raise out_of_date(lock.pin, wanted, Exit.NOT_CURRENT if check else Exit.PIN)
    return lock


def _override(request: EnsureRequest, settings: Settings) -> tuple[str, str] | None:
    if request.bin:
        return "--bin", request.bin
    found = next((name for name in settings.override_env if request.env.get(name)), None)
    return None if found is None else (found, request.env[found])


def _feed(request: EnsureRequest, settings: Settings) -> Feed:
    env = request.env
    return Feed(
        repo=env.get("MYOWNMESH_REPO") or settings.repo,
        base=request.release_base or env.get("MYOWNMESH_RELEASE_BASE") or settings.release_base,
        mirrors=(*env.get("MYOWNMESH_RELEASE_MIRRORS", "").split(), *settings.mirrors),
        api=request.api_base,
    ).checked()


def _dest(request: EnsureRequest, settings: Settings) -> Path:
    root = request.repo_root or Path.cwd()
    if request.dest is not None:
        return request.dest.absolute()
    if settings.dest is not None:
        return (root / settings.dest).absolute()
    tauri = root / "src-tauri"
    return ((tauri if tauri.is_dir() else root) / "binaries").absolute()


def _policy(
    request: EnsureRequest, settings: Settings, lock: Lock | None, *, require: bool, skip: str | None
) -> Policy:
    level = request.require_verification or settings.require_verification
    if level is not None and level not in LEVELS[1:]:
        raise Refused(
            "bad_verification",
            Exit.USAGE,
            f"--require-verification knows {', '.join(LEVELS[1:])}, not {level!r}.",
            hint="Nothing weaker than a checksum can be asked for.",
        )
    keys = request.env.get("MYOWNMESH_TRUSTED_KEYS", "").split() or settings.trusted_keys or PACKAGED_KEYS
    floor: Level = "signature" if require and keys and lock is None else "checksum"
    policy = request.sibling_policy or settings.sibling_policy
    return Policy(
        require=require,
        skip=skip,
        use_siblings=not request.no_sibling,
        sibling_policy=_sibling_policy(policy),
        allow_unpinned=request.allow_unpinned,
        allow_stub=request.allow_stub,
        keep_stale=request.keep_stale,
        allow_source_build=request.allow_source_build,
        floor=next((known for known in LEVELS if known == level), floor),
        override_variable=settings.override_env[0] if settings.override_env else "--bin",
    )


def _sibling_policy(text: str) -> SiblingPolicy:
    if text in ("at-least", "at_least"):
        return "at_least"
    if text == "exact":
        return "exact"
    raise Refused(
        "bad_sibling_policy", Exit.USAGE, f"The sibling policy is exact or at-least, not {text!r}.", hint="Correct it."
    )


def _sibling_paths(
    request: EnsureRequest, settings: Settings, root: Path, target: Target, *, runnable: bool
) -> tuple[Path, ...]:
    """Where sibling builds may lie, in the order of spec 09 §5 row 3."""
    first = request.profile or settings.profile
    profiles = (first, "debug" if first == "release" else "release")
    name = settings.program + target.platform.exe
    found: list[Path] = []
    for folder in settings.sibling_dirs:
        for profile in profiles:
            found.append(root / folder / target.triple / profile / name)
            if runnable:  # without a triple in the path it was built for this machine
                found.append(root / folder / profile / name)
    return tuple(dict.fromkeys([*found, *(root / path for path in request.sibling)]))
