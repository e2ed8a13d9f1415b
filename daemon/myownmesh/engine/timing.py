"""How long the engine waits for what (spec 04 §2; the names there stand in brackets). All in seconds."""

from __future__ import annotations

from typing import Final

HANDSHAKE_TIMEOUT_S: Final = 30.0
"""[HANDSHAKE_TIMEOUT] Channel open → authenticated."""

HELLO_RETRIES_S: Final = (5.0, 7.0, 10.0)
"""[HELLO_RETRY] Waits between repeats of the same hello: it leaves at 0, 5, 12 and 22 s."""

APPROVE_REPEAT_S: Final = 5.0
"""Spec 01 §20 item 6: an approve that got lost, or met a stuck v0.3.8 peer, must not wedge the link."""

PENDING_MAX_AGE_S: Final = 24 * 3600.0
"""Spec 01 §20 item 8: a person who did not decide within a day is asked anew at the next meeting."""

HEARTBEAT_INTERVAL_S: Final = 30.0
"""[HEARTBEAT_INTERVAL] Every admitted peer is pinged this often."""

SILENCE_LIMIT_S: Final = 90.0
"""[SILENCE_LIMIT] Strictly longer without a frame, seen at a heartbeat, and the link is dead."""

HEALTHY_SILENCE_S: Final = 35.0
"""One heartbeat and a little: a link with a frame this young needs no reflection (spec 03 §10.3, 23-G)."""

WAKE_THRESHOLD_S: Final = 60.0
"""[WAKE_THRESHOLD] A heartbeat so long after the one before means that this process stood still."""

WAKE_COALESCE_S: Final = 3.0
"""[WAKE_COALESCE] The heartbeat and the watch over the clocks may notice one sleep, a tick apart."""

STALE_INBOUND_S: Final = 25.0
"""[STALE_INBOUND] Silence that makes an announce or an offer suspicious."""

PROBE_WAIT_S: Final = 1.5
"""[WAKE_PROBE] How long a probed peer may take to send anything."""

PROBE_MIN_GAP_S: Final = 5.0
"""[PROBE_MIN_GAP] Per peer, between announce probes."""

LIVE_NUDGE_S: Final = 2.0
"""[LIVE_NUDGE] Per peer, between pings that announces of a live peer cause."""

SUSPICION_WAIT_S: Final = 0.1
SUSPICION_WAIT_RTTS: Final = 3
"""An announce of a live peer whose ping stays unanswered for 0.1 s, or three known round trips (1.5 s at most), may
come from a fresh process: look closer. Looking costs one description each way, so a slow peer loses nothing."""

ANSWER_DUE_S: Final = 2.0
ASKED_WAIT_S: Final = 1.0
"""A peer from which nothing has come for 2 s behind a heartbeat's ping or a call is asked, and a second later again,
and after another its path is restarted: within 4 s of the call. Three known round trips, where they are longer."""

RESTART_IN_FLIGHT_S: Final = 30.0
"""A recovery tier younger than this shields the link from suspicion (spec 04 §7.5)."""

RESTART_CONFIRM_S: Final = 10.0
"""[RESTART_GRACE] The path is up again after a restart and no frame comes: the link is dialled anew."""

RESTART_TURN_S: Final = 1.0
"""Of a path that both sides see go down the lower one has this long to restart it before the higher one does (spec 04
§15.1 no. 17)."""

SUCCESSOR_FIRST_S: Final = 2.0
"""Beside the time of an answer: so long a transport that the peer offered anew has, before the old one is restarted."""

RESTART_REPEATS_S: Final = (2.0, 4.0, 8.0)
"""A restart offer that nobody answers is made again after these, with the same credentials: relays lose messages."""

OUTDATED_CHECKS_S: Final = 2.0
"""How long the checks of a restart are left alone when the network has changed under them."""

CHANNEL_OPEN_TIMEOUT_S: Final = 30.0
"""[CHANNEL_OPEN_TIMEOUT] Transport created → channel open."""

SUCCESSOR_S: Final = 30.0
"""As long as any attempt: a transport beside a link opens its channel in this time, or is forgotten."""

STUCK_AGE_S: Final = 10.0
"""[RESTART_GRACE] Age at which a connecting transport gives way to a new offer (spec 04 §5.4)."""

PATH_FAILED_GRACE_S: Final = 30.0
"""A path that reports `Failed` is believed only when no frame came for this long (spec 04 §7.2)."""

REACTIVE_ANNOUNCE_GAP_S: Final = 1.0
"""[REACTIVE_ANNOUNCE_GAP] Per network, between announces that answer something; what meets it is dropped."""

HEARD_LATELY_S: Final = 1800.0
"""A member that announced itself within this is there; at the slow pace that is two announces and a little."""

REOFFER_GAP_S: Final = 2.0
"""[REOFFER_GAP] Per peer, between offers of one transport."""

ECHOES: Final = 4
"""So many of our last announces tell how late the room is."""
MAX_ROOM_DELAY_S: Final = 10.0
"""What a room that brings our announces back even later counts as: it must not be able to silence us."""
ANSWER_MARGIN_S: Final = 1.0
"""What answering takes beside two ways through the room. An offer made again before it could be answered finds v0.3.8
ten seconds into its attempt, which it then gives up with the answer that is under way."""

SLOW_ROOM_S: Final = 0.5
"""A room this late makes it worth to look whether a nameless answer or offer is too soon to be meant for us."""
EARLY_MARGIN_S: Final = 0.3
"""What it takes longer than two ways through the room."""
ROOM_JITTER: Final = 0.2
"""What two ways through the room may differ by, as a share of one."""

GLARE_HOLD_S: Final = 2.5
"""[GLARE_HOLD] How long the lower id waits for an answer before it yields (spec 04 §5.9)."""

CONTEST_S: Final = 1.5
"""How long the first of two answers with different certificates has to bring the channel up before we offer anew:
checks and DTLS take a few round trips."""

FORMER_OFFER_S: Final = 1.0
FORMER_ANSWER_MARGIN_S: Final = 0.3
"""An answer that names no offer, where the transport before made one so shortly before: it may be the answer to that,
and the next one comes as much later, and a little, as the offers were apart."""

NEWCOMER_S: Final = 0.7
"""A new process of the peer has not heard what we offered before it came. Offers that it causes are so far apart, and
an attempt that its predecessor answered has so long to show a sign of life: less than a return may take beside its way
through the room."""

HOLD_PING_S: Final = 0.5
"""A link that sends nothing for this long behind the ping that an offer of another certificate caused (three known
round trips, if that is more) is taken for dead, and the offer is answered."""

DIAL_ANYWAY_S: Final = 3.0
"""[DIAL_ANYWAY] An announce of a lower id was seen and no offer came: dial."""

DIAL_BACK_S: Final = 0.4
"""The same where we are the one that came back: v0.3.8 may take its former link to us for alive, and never offers."""

DIAL_LOOK_S: Final = 0.5
"""Between two looks whether it is a stranger's turn to be dialled: a dial takes a few round trips."""

SHORTCUTS_S: Final = 2.5
"""While gossip brings new members, and two rounds longer, no link is ended for the shape: round a ring of hundreds the
roster would otherwise go from neighbour to neighbour, a second each, and everybody hear it fifty times."""

LOOK_AROUND_S: Final = 0.1
"""In a shape that changes with its members: between the first stranger who has to wait and the first look at whom the
shape would want of all that were heard by then."""

CROWD_LOOK_S: Final = 9.0
"""The same in a crowd of `limits.CROWD` strangers; in one of four times as many it is four times as long."""

DIAL_ANYWAY_GAP_S: Final = 30.0
"""Per peer, between such dials."""

TWIN_FIGHT_FIRST_S: Final = 3.0
"""A link that was lost while another process uses our identity is dialled again after this, then after twice as long:
each dial takes the link from the other, and v0.3.8 takes it back at once."""
TWIN_FIGHT_MAX_S: Final = 600.0
STATE_WATCH_S: Final = 2.0
"""[STATE_WATCH] The tick on which reconnect intents and the shape are looked at."""

RECONNECT_BACKOFF_S: Final = (2.0, 4.0, 8.0, 15.0)
"""[RECONNECT_BACKOFF] Between re-offers of an intent; the last value repeats."""

RECONNECT_GRACE_S: Final = 90.0
"""[RECONNECT_GRACE] Life of a plain intent, counted from the loss of the link."""

STICKY_ATTEMPTS: Final = 6
"""[STICKY_ATTEMPTS] An intent for a pinned peer parks after this many re-offers."""

FAILED_DIAL_FIRST_S: Final = 5.0
FAILED_DIAL_MAX_S: Final = 300.0
"""[FAILED_DIAL] Wait before we dial again after a failure before authentication; doubles (spec 01 §7.9)."""

EARLY_CANDIDATE_AGE_S: Final = 10.0
"""[EARLY_CANDIDATES] How long a remote candidate is kept for a description that is still under way."""

LEAVE_PING_AFTER_S: Final = 1.0
"""Spec 03 §12.1: a leaver answers for 0.25 s more, so the ping that tests a leave waits."""

LEAVE_CLOSE_WINDOW_S: Final = 3.0
"""Spec 03 §12.1: a channel that closes this soon after a leave was left, not lost."""

LEAVE_FLUSH_S: Final = 0.25
"""[LEAVE_FLUSH] Between our own leave and the end of the transports: the leave must reach the room first."""

DENY_LINGER_S: Final = 0.4
"""Spec 01 §19 rule 12: a deny needs time to leave before its transport closes."""

INTENT_FIRST_LOOK_S: Final = 1.0
"""Between a loss and the first re-offer; a departure that only mDNS announces is known 0.85 s after the loss."""

OFFER_REPEAT_S: Final = 6.0
"""Spec 04 §12 no. 12: an offer that nobody answered is made again, for relays lose messages."""

RELAY_RESCUE_BACKOFF_S: Final = (60.0, 120.0, 240.0, 300.0)
"""[RELAY_RESCUE_BACKOFF] Between rescues of which none has helped; the last value repeats."""

RELAY_WAIT_S: Final = 15.0
"""Spec 04 §15.1 no. 9: after a move the offers wait for a relay, but no longer than this."""

IN_FLIGHT_S: Final = 1.0
"""Offers that come so soon after the network went may have been read just then."""

DOUBT_WAIT_S: Final = 0.3
"""What a live link has to answer when other addresses came or went, or this machine slept (three known round trips,
PROBE_WAIT_S at most, if that is more), before its path is renewed."""
