"""Plotly figures as plain values: no WebGL (it needs eval), colours by name, so that a page can have a dark side."""
