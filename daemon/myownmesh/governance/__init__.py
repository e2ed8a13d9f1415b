"""Who decides in a closed network: signed logs, and what follows from them. Values in, values out.

How a network uses it:

- **Start**: `saved.load_book` from both files, in slices or off the loop; `first_contact.FirstContact` if it was
  lost.
- **A peer's logs** (`roster_entries`, an imported file): `log.verified` in slices, then `adoption.hear_log`; after
  it `hearing.hear_again`, and `hearing.hear_entries` slice by slice for the member log. `Heard.changed` names whose
  links end or begin. A `words.Speaker` says where it came from.
- **Frames about proposals**: `intake`. Its `word` goes into that link's `Speaker.said` for a minute, and a `pull`
  asks the sender for its logs.
- **A deny** of an authenticated peer: `denials.read_denial` in slices, then `denials.take_denial`.
- **Commands**: `authoring.draft` refuses or says what comes of it; `marking.sign_marked` off the loop;
  `authoring.propose`, `sign`, `deny`, `withdraw`, `settle`. Answers to `Book.questions`: `adoption.consent`,
  `refuse`, `switch`, `stay`, `accept_replay`; `hearing.accept_grant`, `dismiss`.
- **After a switch** (`Adoption.left`): an authority takes the steps of `merging.merge_of`. After a seat fell, and
  before one of ours takes one: `succession`.
- **Anti-entropy**: `sync.request`, `is_ahead`, `answer`, `refuting`, `denial`.
- **For clients**: `pending.pending`, `Book.bench.roles()` and `removed()`, `ratifying.decides`, `authoring.room`.
- **After each change**: `ratifying.settled`; `saved.pin_of` to the disk, then `saved.state_of`; frames leave after
  the pin.
- **Every minute** `hearing.hear_again`, every hour `authoring.expire`.
"""
