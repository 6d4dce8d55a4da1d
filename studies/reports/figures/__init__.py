"""Plotly figures as dictionaries; their colours have names, so that they fit light and dark pages."""
