"""The sentences of spec 09 §5.1, one function per message id. Wording only; when they are said is decided elsewhere."""

from __future__ import annotations

from mesh_bundler.errors import Exit, Notice, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mesh_common.pins import PinError


def rebuild_hint(tag: str, variable: str) -> str:
    """How to bring a sibling checkout to the pin, or to use it on purpose."""
    return (
        f"To rebuild it at the pin: git fetch --tags && git checkout {tag} && cargo build --release --bin myownmesh. "
        f"To use it on purpose: set {variable} to its path."
    )


def _notice(name: str, text: str, *, level: str = "warning", tail: str = "", **fields: object) -> Notice:
    """A remark whose sentence is made of its fields; `tail` is said too, but is none of them."""
    return Notice(name, text.format_map(fields) + tail, level, fields)


def sibling_mismatch(path: str, actual: str, reason: str, pin: str, variable: str) -> Notice:
    text = "The sibling daemon {path} reports {actual} but the pin is {pin} ({reason}), so it is not used. "
    return _notice(
        "sibling_mismatch", text, path=path, actual=actual, pin=pin, reason=reason, tail=rebuild_hint(pin, variable)
    )


def sibling_unreadable(path: str, reason: str, detail: str, pin: str, variable: str) -> Notice:
    said = f": {detail.strip()[-200:]}" if detail.strip() else ""
    return Notice(
        "sibling_unreadable",
        f"The sibling daemon {path} does not say which version it is ({reason}{said}) and the pin is {pin}, "
        f"so it is not used. " + rebuild_hint(pin, variable),
        fields={"path": path, "reason": reason, "stderr": detail[-200:], "pin": pin},
    )


def sibling_wrong_target(path: str, found: str, wanted: str) -> Notice:
    text = "The sibling daemon {path} is built for another machine ({found}, wanted {wanted}), so it is not used."
    return _notice("sibling_wrong_target", text, path=path, found=found, wanted=wanted)


def sibling_stub(path: str, size: int) -> Notice:
    text = "The sibling file {path} is a placeholder of {size} bytes; it is passed over."
    return _notice("sibling_stub", text, level="note", path=path, size=size)


def sibling_unpinned(path: str, actual: str) -> Notice:
    text = "There is no pin, so the sibling daemon {path} ({actual}) is used unchecked. Write a pin file."
    return _notice("sibling_unpinned", text, path=path, actual=actual)


def override_used(variable: str, path: str, version: str, pin: str) -> Notice:
    text = "{variable} is set: {path} ({version}) is used and the pin ({pin}) is bypassed."
    return _notice("override_used", text, level="info", variable=variable, path=path, version=version, pin=pin)


def override_differs(variable: str, path: str, actual: str, pin: str) -> Notice:
    text = (
        "{variable} names {path}, which reports {actual}; the pin is {pin}. Builds with different daemons may not "
        "peer. Unset {variable} to use the pinned daemon."
    )
    return _notice("override_differs_from_pin", text, variable=variable, path=path, actual=actual, pin=pin)


def override_unreadable(variable: str, path: str, reason: str, pin: str) -> Notice:
    text = (
        "{variable} names {path}, which does not say its version ({reason}); the pin is {pin}. It is used anyway. "
        "Unset {variable} to use the pinned daemon."
    )
    return _notice("override_version_unreadable", text, variable=variable, path=path, reason=reason, pin=pin)


def override_refused(variable: str, path: str, reason: str, pin: str) -> Refused:
    missing = reason == "missing"
    why = "does not exist" if missing else f"cannot be used as the daemon ({reason})"
    return Refused(
        "override_missing" if missing else "override_invalid",
        Exit.OVERRIDE,
        f"{variable} names {path}, which {why}.",
        hint=f"Correct {variable}, or unset it to use the pinned daemon ({pin}).",
        variable=variable,
        path=path,
        reason=reason,
        pin=pin,
    )


def slot_stale(slot: str, version: str, pin: str) -> Notice:
    text = "The slot {slot} holds {version}, not the pin ({pin})."
    return _notice("slot_stale", text, slot=slot, version=version, pin=pin)


def release_unavailable(cause: Refused, pin: str) -> Notice:
    text = "The release {pin} could not be had: "
    return _notice("release_unavailable", text, cause=cause.code, pin=pin, tail=cause.message)


def unsigned_release(asset: str) -> Notice:
    text = "{asset} is not signed by a trusted key; only its checksum was verified."
    return _notice("unsigned_release", text, level="info", asset=asset)


def unusable_pin(error: PinError) -> Refused:
    return Refused(
        error.code,
        Exit.PIN,
        str(error),
        hint="Write one release tag such as v0.3.8 into the pin file.",
        value=error.value[:200],
    )


def pin_missing(reason: str) -> Refused:
    what = "There is no pin file" if reason == "missing_file" else "The pin file is empty"
    return Refused(
        "pin_missing",
        Exit.PIN,
        f"{what}, so it is unknown which daemon belongs to this app.",
        hint="Write one release tag (such as v0.3.8) into .myownmesh-rev, pass --pin, or set MYOWNLLM_MESH_BIN.",
        reason=reason,
    )


def commit_has_no_release(commit: str, variable: str) -> Refused:
    return Refused(
        "commit_pin_has_no_release",
        Exit.PIN,
        f"The pin {commit} is a commit; releases exist for tags only, and nothing at hand proves to be that commit.",
        hint=f"Pin a release tag, set {variable} to a build of that commit, or pass --allow-source-build.",
        commit=commit,
    )


def skip_conflicts(variable: str) -> Refused:
    return Refused(
        "skip_conflicts_with_require",
        Exit.USAGE,
        f"{variable} asks to leave the daemon out and the release mode demands it.",
        hint=f"Unset {variable}, or build with --dev.",
        variable=variable,
    )


def offline_miss(asset: str, url: str, digest: str | None, folder: str) -> Refused:
    wanted = f" with SHA-256 {digest}" if digest else " with its .sha256"
    return Refused(
        "offline_miss",
        Exit.NETWORK,
        f"Offline, and {asset} is not in the cache.",
        hint=f"On a machine with network fetch {url}{wanted}, put it into the folder {folder} and "
        f"run mesh-bundler ensure --seed-dir {folder}.",
        asset=asset,
        url=url,
        sha256=digest,
        folder=folder,
    )
