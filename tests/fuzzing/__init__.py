"""Fuzzing: damaged and odd inputs for every command. ``mutate`` makes them, ``kinds`` says which go
where, ``server`` runs each in a process of its own; ``tests/fuzz.py`` is the program."""
