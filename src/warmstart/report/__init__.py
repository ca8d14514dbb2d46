"""The report: figures and one HTML file."""
