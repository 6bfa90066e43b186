"""The command line: one module per group of verbs, parsing and printing only."""
