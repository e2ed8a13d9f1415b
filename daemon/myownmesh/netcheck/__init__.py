"""A look at this device's surroundings: what lets other devices be met and reached from here, and what does not.

- `wanted` — which servers are asked, from the records of the networks.
- `stun`, `turn`, `relays`, `multicast` — one probe each; they know the network and no deadline.
- `check` — all of them at once, under one deadline.
- `judgement` — what their findings mean, in one sentence. Pure.
"""
