"""What transcribing is, without a recogniser, a clock or a socket (spec 08 §9.6): audio, its frames, its cuts. Pure."""
