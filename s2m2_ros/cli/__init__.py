"""The `s2m2` command: one thin file per subcommand."""
