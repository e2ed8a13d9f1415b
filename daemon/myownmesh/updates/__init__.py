"""The daemon's own updates (spec 09 §10): what is on offer, what is taken, the swap, and the way back."""
