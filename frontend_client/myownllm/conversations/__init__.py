"""Conversations on this device: names and documents (pure), the folder that holds them, what peers may do with it."""
