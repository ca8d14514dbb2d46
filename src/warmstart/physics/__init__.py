"""Physical metrics: pure functions of a state and its grid."""
