"""The report's page: its inputs, its sections, and the template that lays them out."""
