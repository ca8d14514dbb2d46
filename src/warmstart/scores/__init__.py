"""Numbers that judge: metrics of a state with their verdicts, runs against a control, the CRPS."""
