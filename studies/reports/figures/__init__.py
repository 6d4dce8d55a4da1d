"""Plotly figures as dictionaries, without WebGL (it needs eval), and with named colours, for light and dark pages."""
