"""The names of all ops that the protocol has, whether this release serves them or not (spec 05 §6)."""

from __future__ import annotations

OPS = (
    "status", "networks_list", "peers_list", "roster_list", "roster_approve", "roster_remove", "topology_set",
    "identity_show", "identity_set_label", "network_id_generate", "network_id_normalize", "config_show", "network_add",
    "network_remove", "forget_all_networks", "factory_reset", "network_update", "network_reconnect",
    "network_connect_peer", "media_lane_open", "media_lane_close", "services_status", "services_set",
    "events_subscribe", "trace_subscribe", "governance_state", "governance_propose_kind_change",
    "governance_propose_role_grant", "governance_propose_role_revoke", "governance_propose_evict",
    "governance_propose_topology", "governance_sign", "governance_deny", "governance_withdraw",
    "governance_spawn_split", "governance_mfa_enroll", "governance_mfa_status", "governance_mfa_disable",
    "rpc_register", "rpc_unregister", "rpc_respond", "rpc_stream_chunk", "rpc_stream_end", "rpc_call",
    "rpc_call_stream", "channel_subscribe", "channel_unsubscribe", "channel_send_to", "channel_send_reliable",
    "channel_send_all", "capabilities_set", "video_send", "media_track_pipe", "media_source_pipe", "video_subscribe",
    "video_unsubscribe", "audio_send", "audio_subscribe", "audio_unsubscribe", "update_status", "update_check",
    "update_apply", "update_set_prefs",
)  # fmt: skip
"""In declared order, which the unknown-variant error recites. An op that is not served gets that very error: clients
take it as "this daemon is too old" (spec 05 §4)."""
