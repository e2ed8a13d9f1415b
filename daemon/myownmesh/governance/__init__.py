"""Who decides in a closed network: signed logs, and what follows from them. Values in, values out.

How a network uses it:

- **Start**: `state_file.read_state`, `pins.read_pin`, then `saved.load_book` from both, in slices or off the loop;
  `first_contact.FirstContact` if it was lost. `rules.Rules.of` reads the switches.
- **A peer's logs** (`roster_entries`, an imported file): `log.heard` in slices, then `adoption.hear_log`; after
  it `hearing.hear_again`, and `hearing.hear_entries` slice by slice for the member log. `Heard.changed` names whose
  links end or begin, `Heard.failed` is charged to the sender (`signatures.FAILED_CHECKS`). A `words.Speaker` says where
  it came from.
- **Frames about proposals**: `intake.hear_propose`, `hear_ack`, `hear_split`. `Intake.word` goes into that link's
  `Speaker.said` for a minute, and a `pull` asks the sender for its logs; `intake.unanswered` if it does not answer.
- **A deny** of an authenticated peer: `denials.read_denial` in slices, then `denials.take_denial`.
- **A peer becomes active**: `authoring.resent`; whom signed state lets in, `Book.admits` and `is_evicted` say.
- **Commands**: `authoring.draft` refuses or says what comes of it; `clocks.waits_for_clock`; `marking.sign_marked` off
  the loop; `authoring.propose` under a `proposals.new_proposal_id`, `sign`, `deny`, `withdraw`, `settle`. Before a
  promotion `Memory.refused`. Answers to `Book.questions`: `adoption.consent`, `refuse`, `switch`, `stay`,
  `accept_replay`; `hearing.accept_grant`, `dismiss`; `FirstContact.clicked`.
- **After a switch** (`Branches.left`, over restarts too): an authority takes the steps of `merging.merge_behind`;
  `merging.skip` remembers what stayed out, and `Branches.looked_after` that it is done. After a seat fell, and before
  one of ours takes one: `succession`.
- **While a branch is kept out** (`holdouts.kept_out`): `holdouts.look` every few seconds, with what others hold.
- **Anti-entropy**: `sync.request`, `is_ahead`, `answer`, `refuting`, `denial`.
- **For clients**: `pending.pending`, `Book.bench.roles()` and `removed()` (the roster mirrors them: `Roster.mirror`),
  `ratifying.decides`, `authoring.room`.
- **After each change**: `ratifying.settled`; `saved.pin_of` to the disk, then `saved.state_of` (`write_state`); frames
  leave after the pin. A purge leaves `Pin.stub`.
- **Every minute** `hearing.hear_again`, every hour `authoring.expire`.
"""
