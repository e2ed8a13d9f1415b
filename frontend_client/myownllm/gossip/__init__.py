"""What devices of one network tell each other by themselves: catalog, policy, prompts (spec 08 §9.8). Pure."""
