"""What is decided of the remote screen before anything is loaded that serves it (spec 08 FE-10.4). Pure but `lan`."""
