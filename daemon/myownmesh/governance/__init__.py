"""Who decides in a closed network: signed logs, and what follows from them. Values in, values out."""
