"""The engine `ray`, which runs workers on the nodes of a Ray cluster."""
