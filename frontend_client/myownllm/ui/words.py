"""What the page may ask, as classes: an unknown member or a wrong type is refused before anything happens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Name = Annotated[str, Meta(max_length=200)]
Address = Annotated[str, Meta(max_length=500)]
Addresses = Annotated[list[Address], Meta(max_length=64)]
Text = Annotated[str, Meta(max_length=200_000)]


class Request(Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a request."""


class Nothing(Request, frozen=True):
    pass


class Redeem(Request, frozen=True):
    token: Name


# ── this device ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Label(Request, frozen=True):
    value: Annotated[str, Meta(max_length=64)]


class Accepting(Request, frozen=True):
    value: Literal["available", "limited", "busy"]


class Switch(Request, frozen=True):
    value: bool


# ── networks ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class AddNetwork(Request, frozen=True):
    network_id: Name
    label: Name = ""
    activate: bool = True
    signaling_servers: Addresses = []
    stun_servers: Addresses | None = None
    """None: the usual ones"""
    only_lan: bool = False
    """it talks to no relay, and to no STUN server unless some are named"""
    auto_approve: bool = False


class Turn(Request, frozen=True):
    url: Address
    username: Name = ""
    credential: Annotated[str, Meta(max_length=500)] | None = None
    """None: the password that is saved for this address"""


class EditNetwork(Request, frozen=True):
    """What is None stays as it is."""

    label: Name | None = None
    topology: Name | None = None
    """as in `networks edit --topology`; empty: unset"""
    auto_approve: bool | None = None
    only_lan: bool | None = None
    signaling_servers: Addresses | None = None
    stun_servers: Addresses | None = None
    turn_servers: Annotated[list[Turn], Meta(max_length=16)] | None = None
    defaults: Annotated[list[Literal["relays", "stun", "turn", "topology"]], Meta(max_length=4)] = []
    """these are unset"""
    now: bool = False
    """also while something runs that the change cuts off"""


class ForgetNetwork(Request, frozen=True):
    delete_roster: bool = False


class Activate(Request, frozen=True):
    id: Name | None


class Import(Request, frozen=True):
    text: Annotated[str, Meta(max_length=500_000)]
    """an invitation's link, or what `networks export` printed"""
    activate: bool = True
    look: bool = False
    """tell what it leads to, and change nothing"""


class Invite(Request, frozen=True):
    ttl_s: Annotated[int, Meta(ge=60, le=30 * 86_400)] = 900
    uses: Annotated[int, Meta(ge=1, le=100)] = 1
    note: Name = ""
    turn_passwords: bool = False


class Export(Request, frozen=True):
    secrets: bool = False


# ── peers, files ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Approve(Request, frozen=True):
    code: Name
    """that the person compared: a device that shows another one by now is not let in"""


class Purpose(Request, frozen=True):
    purpose: Literal["text", "transcribe", "tp"]
    on: bool = True


class SendFiles(Request, frozen=True):
    peer: Name
    paths: Annotated[list[Annotated[str, Meta(max_length=4096)]], Meta(min_length=1, max_length=64)]


class AcceptFile(Request, frozen=True):
    to: Annotated[str, Meta(max_length=4096)] = ""


# ── governance ────────────────────────────────────────────────────────────────────────────────────────────────────────

Code = Annotated[str, Meta(max_length=64)]
"""of an authenticator, or a recovery code; empty: none"""


class Propose(Request, frozen=True):
    what: Literal["kind", "role", "revoke", "evict"]
    device: Name = ""
    role: Literal["member", "controller", "owner"] = "member"
    to: Literal["open", "closed"] = "closed"
    code: Code = ""
    look: bool = False
    """tell what it would do, and change nothing"""


class Sign(Request, frozen=True):
    digest: Name
    """of what the person was shown"""
    code: Code = ""


# ── the remote screen ─────────────────────────────────────────────────────────────────────────────────────────────────


class Remote(Request, frozen=True):
    """What is None stays as it is."""

    enabled: bool | None = None
    port: Annotated[int, Meta(ge=0, le=65_535)] | None = None


class Kick(Request, frozen=True):
    id: Name | None
    """None: every browser"""


class Pair(Request, frozen=True):
    code: Name


class Chat(Request, frozen=True):
    """A question of a paired browser; no function is lent to the model."""

    messages: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=1000)]
    model: Name = ""
    family: Name = ""
    """any device with a model of it, where no model is named"""


class ActiveConversation(Request, frozen=True):
    id: Name | None


# ── models, conversations, prompts ────────────────────────────────────────────────────────────────────────────────────


class Ask(Request, frozen=True):
    messages: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=1000)]
    model: Name = ""
    family: Name = ""
    """any device with a model of it, where neither a model nor a peer is named"""
    peer: Name = ""
    functions: Annotated[list[Name], Meta(max_length=16)] = []


class Answer(Request, frozen=True):
    choice: Literal["allow_once", "always_accept", "accept_all", "deny"]


class Policy(Request, frozen=True):
    action: Literal["set", "allow", "forget", "agree", "reject", "confirm"]
    tool: Literal["shell", "write_file"] = "shell"
    mode: Literal["ask", "accept_all", "denied"] = "ask"
    literal: Annotated[str, Meta(max_length=4000)] = ""
    code: Name = ""
    on: bool = True


class Prompt(Request, frozen=True):
    name: Name | None = None
    system_prompt: Text | None = None
    user_prompt: Text | None = None
    tools: Annotated[list[Name], Meta(max_length=16)] | None = None


class Conversation(Request, frozen=True):
    """A conversation of this device as a whole."""

    title: Name
    messages: Annotated[list[dict[str, Any]], Meta(max_length=4096)]
    model: Name = ""
    family: Name = ""


class RemoteConversation(Conversation, frozen=True):
    """A conversation of another device, as it was opened there and changed here."""

    base: Name = ""
    """when it was changed last, as it was opened; empty: whatever is there is replaced"""


class Conversations(Request, frozen=True):
    action: Literal["move", "remove", "restore", "empty_trash"]
    ids: Annotated[list[Name], Meta(max_length=100)] = []
    folder: Name = ""


class Move(Request, frozen=True):
    peer: Name
