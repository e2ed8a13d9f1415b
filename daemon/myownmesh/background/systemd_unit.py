"""The text of a systemd unit (spec 07 §7, 05 W26). No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from myownmesh.background.service import HOMEPAGE, UNIT

if TYPE_CHECKING:
    from myownmesh.background.service import Service

WATCHDOG_S: Final = 30
"""A hung daemon is ended after this; it says three times in it that it is well."""

LINGER_MARK: Final = "# lingering was switched on for this service"
"""In the unit of a person whose services did not outlive the login before: the uninstallation takes that back."""

_ALWAYS: Final = (
    "Type=notify",
    "NotifyAccess=main",
    "Restart=always",
    "RestartSec=5",
    f"WatchdogSec={WATCHDOG_S}",
    # At once, and without a core: whatever hangs has said nothing for half a minute, and its memory holds the key.
    "WatchdogSignal=SIGKILL",
    "LimitCORE=0",
    f"SyslogIdentifier={UNIT}",
    "LogRateLimitIntervalSec=5min",
    "LogRateLimitBurst=100",
    "KillSignal=SIGTERM",
    "KillMode=mixed",  # its workers end with it, behind the farewell that they carry
    "TimeoutStopSec=20",
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictSUIDSGID=yes",
    "RestrictRealtime=yes",
)
_SYSTEM: Final = (
    "DynamicUser=yes",
    f"StateDirectory={UNIT}",
    "StateDirectoryMode=0700",
    # A TURN server or relay may be wanted on a port below 1024, such as 443.
    "AmbientCapabilities=CAP_NET_BIND_SERVICE",
    "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "UMask=0077",
)


def unit_text(service: Service, *, lingers: bool = False) -> str:
    """The whole file. `lingers`: the installation has switched lingering on."""
    sections = [
        [LINGER_MARK] if lingers else [],
        [
            "[Unit]",
            "Description=MyOwnMesh daemon",
            f"Documentation={HOMEPAGE}",
            *(("After=network-online.target", "Wants=network-online.target") if service.system else ()),
        ],
        [
            "[Service]",
            f"ExecStart={' '.join(_word(each, in_command=True) for each in service.words)}",
            *(f"Environment={_word(f'{name}={value}')}" for name, value in service.environ.items()),
            *_ALWAYS,
            *(_SYSTEM if service.system else ()),
        ],
        ["[Install]", f"WantedBy={'multi-user' if service.system else 'default'}.target"],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _word(text: str, *, in_command: bool = False) -> str:
    """A word as systemd reads it: percent signs are specifiers, dollar signs variables (in a command), quotes quotes.

    Raises `ValueError` for what no unit can hold.
    """
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError(f"{text!r} has a character that no unit can hold")
    text = text.replace("\\", "\\\\").replace("%", "%%")
    if in_command:
        text = text.replace("$", "$$")
    if not text or any(character in " '\";#" for character in text):
        return '"' + text.replace('"', '\\"') + '"'
    return text
