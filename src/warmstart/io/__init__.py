"""Files and folders: read, written, replaced; configurations."""
