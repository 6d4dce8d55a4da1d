"""The contest: which configuration of which technique is tried next."""
