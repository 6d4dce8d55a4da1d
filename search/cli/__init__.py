"""The command `regsearch`: commands, options and output."""
