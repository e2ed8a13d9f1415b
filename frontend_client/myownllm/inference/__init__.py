"""Who answers a question to a model, what may be asked, and what a model may do here (spec 08 §9.4, §9.9)."""
