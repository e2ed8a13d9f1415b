"""What happens to this machine's network, and its sleep: one watch per process (spec 04 §7.7, §15 no. 6, 7)."""
