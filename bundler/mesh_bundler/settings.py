"""The configuration of one tool: `[tool.mesh-bundler]` in pyproject.toml, or mesh-bundler.toml (spec 09 §9)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from mesh_bundler.errors import Exit, Refused
from mesh_common.files import read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """What the consumer's repository says about its daemon. Switches and environment win over these."""

    name: str = "myownmesh"
    repo: str = "mrjeeves/MyOwnMesh"
    pin_file: str = ".myownmesh-rev"
    lock_file: str = ".myownmesh-lock.json"
    dest: str | None = None
    override_env: tuple[str, ...] = ("MYOWNLLM_MESH_BIN", "MYOWNMESH_BIN")
    skip_env: tuple[str, ...] = ("MYOWNLLM_SKIP_SIDECAR", "MYOWNMESH_SKIP_SIDECAR")
    require_env: tuple[str, ...] = ("MYOWNMESH_REQUIRE_SIDECAR", "CEC_REQUIRE_SIDECARS")
    sibling_dirs: tuple[str, ...] = ("../MyOwnMesh/target",)
    sibling_policy: str = "exact"
    profile: str = "release"
    platforms: tuple[str, ...] = ()
    release_base: str | None = None
    mirrors: tuple[str, ...] = ()
    trusted_keys: tuple[str, ...] = ()
    require_verification: str | None = None
    probe_timeout: float = 10.0
    lock_timeout: float = 300.0
    asset_template: str = "{name}-{platform}.{ext}"
    binary_name: str | None = None  # default: `name`

    @property
    def program(self) -> str:
        """First word of `--version` and name inside the archive."""
        return self.binary_name or self.name


def load_settings(root: Path, tool: str | None = None) -> Settings:
    """Settings of the repository at `root`; defaults when it has none.

    Raises `Refused` (exit 2) for unknown keys and wrong types: a misspelt switch must not silently do nothing.
    """
    tables = _tables(root)
    if not tables:
        return Settings() if tool is None else _only(tool, [])
    found = [_settings(table) for table in tables]
    if tool is None and len(found) == 1:
        return found[0]
    return _only(tool, found)


def _only(tool: str | None, found: list[Settings]) -> Settings:
    for settings in found or [Settings()]:
        if settings.name == tool:
            return settings
    names = ", ".join(settings.name for settings in found) or Settings().name
    raise Refused(
        "tool_unknown" if tool else "tool_ambiguous",
        Exit.USAGE,
        f"The configuration knows no tool {tool!r}." if tool else "The configuration describes several tools.",
        hint=f"Name one with --tool: {names}.",
    )


def _tables(root: Path) -> list[dict[str, object]]:
    for name, whole in (("mesh-bundler.toml", True), ("pyproject.toml", False)):
        path = root / name
        try:
            data = read_regular(path, _MAX_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _malformed(path, error.strerror) from None
        if not whole and b"mesh-bundler" not in data:
            continue  # parsing TOML costs more than everything else that `check` does
        document = _parse(path, data)
        value = document if whole else _member(document.get("tool"), "mesh-bundler")
        if whole and isinstance(document.get("tool"), list):
            value = document["tool"]
        if isinstance(value, dict):
            return [value]
        if isinstance(value, list) and all(isinstance(row, dict) for row in value):
            return list(value)
    return []


def _parse(path: Path, data: bytes) -> dict[str, object]:
    import tomllib

    try:
        return tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _malformed(path, error) from None


def _malformed(path: Path, why: object) -> Refused:
    return Refused("config_malformed", Exit.USAGE, f"{path} cannot be read: {why}.", hint="Correct it.")


def _member(table: object, name: str) -> object:
    return table.get(name) if isinstance(table, dict) else None


def _settings(table: dict[str, object]) -> Settings:
    values: dict[str, object] = {}
    known = {field.name: field.type for field in fields(Settings)}
    for key, value in table.items():
        name = key.replace("-", "_")
        kind = known.get(name)
        if kind is None:
            raise Refused(
                "config_unknown_key",
                Exit.USAGE,
                f"The bundler's configuration has an unknown key {key!r}.",
                hint="Known keys: " + ", ".join(known) + ".",
                key=key,
            )
        if str(kind).startswith("tuple") and isinstance(value, list) and all(isinstance(row, str) for row in value):
            values[name] = tuple(value)
        elif (str(kind).startswith("str") and isinstance(value, str)) or (
            kind == "float" and isinstance(value, int | float) and not isinstance(value, bool)
        ):
            values[name] = value
        else:
            raise Refused(
                "config_bad_value",
                Exit.USAGE,
                f"The bundler's configuration key {key!r} has a value of the wrong type.",
                hint=f"It wants {'a list of texts' if str(kind).startswith('tuple') else kind}.",
                key=key,
            )
    return Settings(**values)  # type: ignore[arg-type]  # types were checked against the fields above
