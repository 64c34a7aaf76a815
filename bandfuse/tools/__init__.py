"""Tools: one file per verb. Settings in, a result model out. They never print and never exit."""
