"""What the app answers to peers: one module per feature, each with `install(client, …) -> release`."""
