"""Operations about what is signed in a network, and about the lock on this device's signatures (spec 05 §9)."""

from __future__ import annotations

from typing import Any, Final

from mesh_common import answers
from mesh_common.client.asking import Asking, bare_id, read_answer

Keep = str | list[str] | dict[str, int]
"""Whom of those that an authority let in another one signs in anew: `"all"`, `"none"`, device ids, or
`{"before": Unix seconds}`."""

RECOVERY_S: Final = 600.0
"""A recovery signs again what the lost device decided: a tenth of a second for each entry."""


class GovernanceOperations(Asking):
    """One method per operation. All raise `ControlError`."""

    # ── signed governance ─────────────────────────────────────────────────────────────────────────────────────────────

    async def governance(self, network: str) -> answers.GovernanceAnswer:
        """What is signed in a network, what waits for somebody, and who is put out."""
        return await self.ask(answers.GovernanceAnswer, "governance_state", network=network)

    async def propose_kind(
        self, network: str, to: str, *, mfa_code: str | None = None, force: bool = False, dry_run: bool = False
    ) -> answers.Proposed:
        """Have the network be `open` or `closed`. Closing an open one founds it: this device becomes its owner.

        `force`: also with a clock that others call wrong. `dry_run`: only say what it would do, in `outlook`.
        """
        return await self._propose("kind_change", network, mfa_code, None, force=force, dry_run=dry_run, to=to)

    async def grant_role(
        self,
        network: str,
        device_id: str,
        role: str,
        *,
        mfa_code: str | None = None,
        keep: Keep | None = None,
        force: bool = False,
        dry_run: bool = False,
    ) -> answers.Proposed:
        """Have a device be `member`, `controller` or `owner`. `keep`: see `evict`; it counts where that lowers it."""
        target = bare_id(device_id)
        return await self._propose(
            "role_grant", network, mfa_code, keep, force=force, dry_run=dry_run, target=target, role=role
        )

    async def revoke_role(
        self,
        network: str,
        device_id: str,
        *,
        mfa_code: str | None = None,
        keep: Keep | None = None,
        dry_run: bool = False,
    ) -> answers.Proposed:
        """Take a controller's or owner's role away; of who has none it is refused. `keep`: see `evict`."""
        return await self._propose("role_revoke", network, mfa_code, keep, dry_run=dry_run, target=bare_id(device_id))

    async def evict(
        self,
        network: str,
        device_id: str,
        *,
        mfa_code: str | None = None,
        keep: Keep | None = None,
        dry_run: bool = False,
    ) -> answers.Proposed:
        """Put a device out. `keep`: whom of those that only it had let in this device signs in anew: `"all"` (the
        default), `"none"`, device ids, or `{"before": Unix seconds}`."""
        return await self._propose("evict", network, mfa_code, keep, dry_run=dry_run, target=bare_id(device_id))

    async def propose_topology(
        self, network: str, topology: str, hub: str | None = None, *, mfa_code: str | None = None
    ) -> answers.Proposed:
        """Have every device take this shape."""
        return await self._propose("topology", network, mfa_code, None, topology=topology, hub=hub)

    async def sign_proposal(
        self,
        network: str,
        proposal_id: str,
        *,
        mfa_code: str | None = None,
        digest: str | None = None,
        keep: Keep | None = None,
    ) -> answers.ProposalSigned:
        """Sign what waits, or agree to a question of this device alone.

        `digest`: SHA-256, in base32, of what was shown (`governance_pending`); other content is refused. `keep`: see
        `evict`.
        """
        return await self.ask(
            answers.ProposalSigned,
            "governance_sign",
            network=network,
            proposal_id=proposal_id,
            mfa_code=mfa_code,
            digest=digest,
            **_kept(keep),
        )

    async def deny_proposal(self, network: str, proposal_id: str) -> None:
        """Refuse what waits, everywhere; or say no to a question of this device alone."""
        await self.ask(answers.ProposalDenied, "governance_deny", network=network, proposal_id=proposal_id)

    async def withdraw_proposal(self, network: str, proposal_id: str) -> None:
        """Take an own proposal back."""
        await self.ask(answers.ProposalWithdrawn, "governance_withdraw", network=network, proposal_id=proposal_id)

    async def _propose(
        self,
        what: str,
        network: str,
        mfa_code: str | None,
        keep: Keep | None,
        *,
        force: bool = False,
        dry_run: bool = False,
        **members: object,
    ) -> answers.Proposed:
        operation = f"governance_propose_{what}"
        members |= _kept(keep) | ({"force": True} if force else {})
        if dry_run:
            await self.governance_pending(network)  # a daemon that does not know this would do it
            members["dry_run"] = True
        data = await self.command(operation, timeout=None, network=network, mfa_code=mfa_code, **members)
        return read_answer(answers.Proposed, operation, data)

    # ── signed governance, explained (ours only) ──────────────────────────────────────────────────────────────────────

    async def governance_log(self, network: str, *, limit: int = 200) -> answers.LogAnswer:
        """What was signed, newest claimed time first, each entry as a sentence with what became of it."""
        return await self.ask(answers.LogAnswer, "governance_log", network=network, limit=limit)

    async def governance_who(self, network: str, device_id: str | None = None) -> answers.WhoAnswer:
        """Whose signature decides; with `device_id` also what that device once signed and did not get."""
        return await self.ask(answers.WhoAnswer, "governance_who", network=network, device=device_id)

    async def governance_doctor(self, network: str) -> tuple[answers.GovernanceFinding, ...]:
        """What is amiss with a network's governance, the worst first."""
        return (await self.ask(answers.DoctorAnswer, "governance_doctor", network=network)).findings

    async def governance_pending(self, network: str) -> tuple[answers.PendingRow, ...]:
        """What waits for a decision, in words, with what signing and denying it would do."""
        return (await self.ask(answers.GovernancePending, "governance_pending", network=network)).rows

    async def settle_quarrel(
        self, network: str, proposal_id: str, *, mfa_code: str | None = None
    ) -> answers.ProposalSigned:
        """As an owner, end a quarrel between controllers for everybody by keeping this device's branch."""
        return await self.ask(
            answers.ProposalSigned, "governance_settle", network=network, proposal_id=proposal_id, mfa_code=mfa_code
        )

    async def replace_device(
        self, network: str, old: str, new: str, *, mfa_code: str | None = None, keep: Keep | None = None
    ) -> answers.GovernanceReplaced:
        """Put one device in another one's place; after an interruption the same call goes on where it ended.

        `keep`: see `evict`.
        """
        return await self.ask(
            answers.GovernanceReplaced,
            "governance_replace",
            timeout=RECOVERY_S,
            network=network,
            old=bare_id(old),
            new=bare_id(new),
            mfa_code=mfa_code,
            **_kept(keep),
        )

    async def export_governance(self, network: str) -> Any:
        """Logs and proposals as a JSON object, for a device without a network."""
        return (await self.ask(answers.GovernanceExported, "governance_export", network=network)).document

    async def import_governance(self, network: str, document: object) -> answers.GovernanceImported:
        """Take in an export. It is verified like what a peer sends, and is nobody's word."""
        return await self.ask(
            answers.GovernanceImported, "governance_import", timeout=RECOVERY_S, network=network, document=document
        )

    async def create_recovery_key(self, network: str, *, mfa_code: str | None = None) -> answers.RecoveryKey:
        """Make an owner that lives on no device; its text is a secret, and shown once."""
        return await self.ask(answers.RecoveryKey, "governance_recovery_create", network=network, mfa_code=mfa_code)

    async def recover(
        self, network: str, key: str, *, owner: str | None = None, evict: str | None = None
    ) -> answers.Recovered:
        """Seat an owner (this device if none is named) with a recovery key, and put a lost device out."""
        return await self.ask(
            answers.Recovered,
            "governance_recover",
            timeout=RECOVERY_S,
            network=network,
            key=key,
            owner=owner,
            evict=evict,
        )

    # ── the lock on this device's signatures ──────────────────────────────────────────────────────────────────────────

    async def enroll_mfa(self, network: str) -> answers.MfaEnrolled:
        """Ask for an authenticator's code before anything is signed in a network; the answer is shown once."""
        return await self.ask(answers.MfaEnrolled, "governance_mfa_enroll", network=network)

    async def mfa_status(self, network: str) -> answers.MfaStatus:
        """Whether signatures in a network need a code."""
        return await self.ask(answers.MfaStatus, "governance_mfa_status", network=network)

    async def disable_mfa(self, network: str, code: str) -> None:
        """Take the lock off with a code of the authenticator or a recovery code. Raises NEEDS_CODE, CODE_REFUSED."""
        await self.command("governance_mfa_disable", network=network, code=code)


def _kept(keep: Keep | None) -> dict[str, Any]:
    """Only where it is said: the daemon's default is all."""
    return {} if keep is None else {"keep": keep}
