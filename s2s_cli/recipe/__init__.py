"""The recipe: its keys (`schema`), and how it is read (`loading`)."""
