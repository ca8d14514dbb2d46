"""Numbers that judge: metrics of a state with their verdicts, forecasts against the truth, sets of states."""
