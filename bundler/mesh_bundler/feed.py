"""Where releases are found: base, mirrors, interface of the host (spec 09 §7.1, §8.3). Pure."""

from __future__ import annotations

from dataclasses import dataclass

from mesh_bundler.errors import Exit, Refused

REFERENCE_REPO = "mrjeeves/MyOwnMesh"
RELEASE_HOST = "https://github.com"
API_HOST = "https://api.github.com"
_ALLOWED_HOSTS = frozenset({"github.com", "api.github.com"})
_ALLOWED_SUFFIX = ".githubusercontent.com"
"""The host redirects downloads to its storage."""
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class AssetUrls:
    """The three files of one asset at one place."""

    archive: str
    checksum: str
    signature: str


@dataclass(frozen=True, slots=True)
class Feed:
    """A release feed. `base` replaces the reference's download address; mirrors have the same layout below theirs."""

    repo: str = REFERENCE_REPO
    base: str | None = None
    mirrors: tuple[str, ...] = ()
    api: str | None = None  # None: the host's own API when `base` is the host's own, otherwise none

    @property
    def canonical(self) -> str:
        """The place whose checksums are trusted."""
        return (self.base or f"{RELEASE_HOST}/{self.repo}/releases/download").rstrip("/")

    @property
    def bases(self) -> tuple[str, ...]:
        return (self.canonical, *(mirror.rstrip("/") for mirror in self.mirrors))

    @property
    def api_base(self) -> str | None:
        """Address of the host's API for this feed, without a slash at the end."""
        return self.api.rstrip("/") if self.api else (None if self.base else API_HOST)

    @property
    def is_reference(self) -> bool:
        """Whether the table of first tags (spec 09 §4.1) applies."""
        return self.base is None and self.repo == REFERENCE_REPO

    def urls(self, tag: str, asset: str, base: str | None = None) -> AssetUrls:
        """Addresses of an asset at a tag. The tag is percent-encoded: it is one path segment, whatever it holds."""
        from urllib.parse import quote  # slow to load and of no use to `check` and `cache-key`

        archive = f"{base or self.canonical}/{quote(tag, safe='')}/{quote(asset, safe='')}"
        return AssetUrls(archive, f"{archive}.sha256", f"{archive}.minisig")

    def tag_page(self, tag: str) -> str | None:
        """A page that exists exactly when the release does, on the release host."""
        from urllib.parse import quote

        head, found, _ = self.canonical.rpartition("/releases/download")
        return f"{head}/releases/tag/{quote(tag, safe='')}" if found else None

    def release_api(self, tag: str) -> str | None:
        """The API's description of the release at a tag."""
        from urllib.parse import quote

        api = self.api_base
        return None if api is None else f"{api}/repos/{self.repo}/releases/tags/{quote(tag, safe='')}"

    def allows(self, url: str) -> bool:
        """Whether a request may go there: https to known hosts; plain http only between loopback addresses."""
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        ours = {urlsplit(base).hostname for base in (*self.bases, self.api_base or "")}
        if parts.scheme == "http":
            return host in _LOOPBACK and bool(ours & _LOOPBACK)
        known = host in _ALLOWED_HOSTS or host.endswith(_ALLOWED_SUFFIX) or host in ours
        return parts.scheme == "https" and known and not parts.username

    def checked(self) -> Feed:
        """Self, or `Refused` for a base that could never be used safely."""
        if self.base is None and not self.mirrors and self.api is None:
            return self
        from urllib.parse import urlsplit

        for base in (*self.bases, *([self.api_base] if self.api_base else [])):
            try:
                parts = urlsplit(base)
                _ = parts.port  # it is looked at only now
            except ValueError as error:
                raise Refused(
                    "feed_malformed",
                    Exit.USAGE,
                    f"The release feed {base} is no address: {error}.",
                    hint="Correct MYOWNMESH_RELEASE_BASE, MYOWNMESH_RELEASE_MIRRORS or the configuration file.",
                    base=base,
                ) from None
            loopback = parts.scheme == "http" and (parts.hostname or "") in _LOOPBACK
            if parts.scheme not in ("https", "file") and not loopback:
                raise Refused(
                    "feed_insecure",
                    Exit.USAGE,
                    f"The release feed {base} is refused: only https, file and loopback addresses are used.",
                    hint="Correct MYOWNMESH_RELEASE_BASE, MYOWNMESH_RELEASE_MIRRORS or the configuration file.",
                    base=base,
                )
        return self
