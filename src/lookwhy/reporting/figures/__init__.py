"""Charts and strips of pictures with matplotlib: pure functions from results to figures."""
