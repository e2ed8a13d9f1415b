"""What is given away of files and logs: structure, never what is secret or what somebody wrote."""

from __future__ import annotations

import json

from myownllm.redaction import private_words, redacted, scrubbed

CONFIG = {
    "api": {"port": 1473, "bearer_token": "tok-3141592"},
    "active_mode": "text",
    "cloud_mesh": {
        "networks": [
            {
                "id": "net-1",
                "network_id": "our-living-room",
                "label": "Family",
                "signaling_servers": ["wss://anna:pass1234@relay.example/x?key=hush-hush"],
                "turn_servers": [{"url": "turn:t.example:3478", "username": "anna-turn", "credential": "s3cr3t-word"}],
                "prompts": [
                    {
                        "id": "prm-dear-diary",
                        "name": "Dear diary",
                        "system_prompt": "I never told",
                        "tools": ["networks"],
                    }
                ],
                "agent_permissions": {"shell": {"mode": "ask", "always_accept": ["rm -rf secret-folder"]}},
            }
        ]
    },
}
PRIVATE = (
    "tok-3141592", "our-living-room", "Family", "pass1234", "hush-hush", "anna", "s3cr3t-word", "prm-dear-diary",
    "Dear diary", "I never told", "secret-folder",
)  # fmt: skip


def test_structures_keep_their_shape_and_lose_their_texts() -> None:
    told = redacted(CONFIG)
    assert told["api"] == {"port": 1473, "bearer_token": "<11 characters>"}
    network = told["cloud_mesh"]["networks"][0]
    assert network["id"] == "net-1"
    assert network["signaling_servers"] == ["wss://relay.example/x"]
    assert network["turn_servers"][0]["url"] == "turn:t.example:3478"
    assert network["agent_permissions"]["shell"]["mode"] == "ask"
    assert not [word for word in PRIVATE if word in json.dumps(told)]


def test_logs_lose_every_word_that_is_private() -> None:
    words = set(private_words(CONFIG))
    line = "joined our-living-room of Family with s3cr3t-word and tok-3141592 in /home/anna-home"
    told = scrubbed(line, words, home="/home/anna-home")
    assert told == "joined <private> of <private> with <private> and <private> in ~"
    assert scrubbed("abc", {"b"}) == "a<private>c"
    assert not words & {"net-1", "networks"}
