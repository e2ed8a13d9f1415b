"""Which function serves which op: the one table to extend for a new op."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from myownmesh.control import (
    custody_ops,
    device_ops,
    governance_carrying,
    governance_ops,
    governance_reports,
    invite_ops,
    network_ops,
    requests,
    traffic_ops,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from myownmesh.control.control import Control
    from myownmesh.control.reply import Reply

IMMEDIATE: dict[type[requests.Request], Callable[[Control, Any], bytes]] = {
    requests.Status: device_ops.status,
    requests.IdentityShow: device_ops.identity_show,
    requests.NetworkIdGenerate: device_ops.network_id_generate,
    requests.NetworkIdNormalize: device_ops.network_id_normalize,
    requests.ServicesStatus: device_ops.services_status,
    requests.NetworksList: network_ops.networks_list,
    requests.NetworkReconnect: network_ops.network_reconnect,
    requests.CapabilitiesSet: network_ops.capabilities_set,
    requests.PeersList: network_ops.peers_list,
    requests.RosterList: network_ops.roster_list,
    requests.InviteList: invite_ops.invite_list,
    requests.RpcRegister: traffic_ops.rpc_register,
    requests.RpcUnregister: traffic_ops.rpc_unregister,
    requests.RpcRespond: traffic_ops.rpc_respond,
    requests.RpcStreamEnd: traffic_ops.rpc_stream_end,
    requests.RpcCallStream: traffic_ops.rpc_call_stream,
    requests.ChannelSubscribe: traffic_ops.channel_subscribe,
    requests.ChannelUnsubscribe: traffic_ops.channel_unsubscribe,
}
"""Ops that are answered at once. They return the answer or raise `MeshError`."""

DEFERRED: dict[type[requests.Request], Callable[[Control, Any, Reply], None]] = {
    requests.RpcStreamChunk: traffic_ops.rpc_stream_chunk,
    requests.RpcCall: traffic_ops.rpc_call,
    requests.ChannelSendTo: traffic_ops.channel_send_to,
    requests.ChannelSendReliable: traffic_ops.channel_send_reliable,
    requests.ChannelSendAll: traffic_ops.channel_send_all,
}
"""Ops that wait for the mesh by callback, without a task: the reply comes within the call or later."""

TASKS: dict[type[requests.Request], Callable[[Control, Any], Awaitable[bytes]]] = {
    requests.ConfigShow: device_ops.config_show,
    requests.IdentitySetLabel: device_ops.identity_set_label,
    requests.ServicesSet: device_ops.services_set,
    requests.NetworkAdd: network_ops.network_add,
    requests.NetworkRemove: network_ops.network_remove,
    requests.NetworkUpdate: network_ops.network_update,
    requests.NetworkConnectPeer: network_ops.network_connect_peer,
    requests.NetworkRecord: network_ops.network_record,
    requests.TopologySet: network_ops.topology_set,
    requests.RosterApprove: network_ops.roster_approve,
    requests.RosterRemove: network_ops.roster_remove,
    requests.GovernanceLog: governance_reports.governance_log,
    requests.GovernanceWho: governance_reports.governance_who,
    requests.GovernanceDoctor: governance_reports.governance_doctor,
    requests.GovernancePending: governance_reports.governance_pending,
    requests.GovernanceExport: governance_carrying.governance_export,
    requests.GovernanceImport: governance_carrying.governance_import,
    requests.GovernanceReplace: governance_carrying.governance_replace,
    requests.GovernanceSettle: governance_ops.governance_settle,
    requests.GovernanceRecoveryCreate: governance_reports.governance_recovery_create,
    requests.GovernanceRecover: governance_reports.governance_recover,
    requests.GovernanceMfaEnroll: custody_ops.mfa_enroll,
    requests.GovernanceMfaStatus: custody_ops.mfa_status,
    requests.GovernanceMfaDisable: custody_ops.mfa_disable,
    requests.GovernanceState: governance_ops.governance_state,
    requests.GovernanceProposeKindChange: governance_ops.governance_propose_kind_change,
    requests.GovernanceProposeRoleGrant: governance_ops.governance_propose_role_grant,
    requests.GovernanceProposeRoleRevoke: governance_ops.governance_propose_role_revoke,
    requests.GovernanceProposeEvict: governance_ops.governance_propose_evict,
    requests.GovernanceProposeTopology: governance_ops.governance_propose_topology,
    requests.GovernanceSign: governance_ops.governance_sign,
    requests.GovernanceDeny: governance_ops.governance_deny,
    requests.GovernanceWithdraw: governance_ops.governance_withdraw,
    requests.GovernanceSpawnSplit: governance_ops.governance_spawn_split,
    requests.InviteCreate: invite_ops.invite_create,
    requests.InviteRevoke: invite_ops.invite_revoke,
    requests.NetworkJoinInvite: invite_ops.network_join_invite,
}
"""Ops that run as a task."""

WAITS = frozenset({requests.NetworkConnectPeer, requests.NetworkRecord})
"""Tasks that only wait: cancelled when the client goes away. The others run to their end, whoever listens."""
