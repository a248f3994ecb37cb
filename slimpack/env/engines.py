"""Names of what solves and installs, apart from the code that does, which takes a while."""

ENGINES = ("auto", "micromamba", "rattler")
